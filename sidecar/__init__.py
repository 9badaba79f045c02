"""A per-pod mTLS proxy for a service mesh."""

__version__ = "0.1.0"
