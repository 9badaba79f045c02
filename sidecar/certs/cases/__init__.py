"""Good and bad certificates, each for one clause of a standard."""
