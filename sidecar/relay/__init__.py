"""The data path after the decision: bytes both ways, for all connections in one task."""
