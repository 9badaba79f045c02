"""The life of a connection, from accept to its access record."""
