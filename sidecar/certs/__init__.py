"""The development PKI and the table of good and bad certificates."""
