"""Several processes on the same listeners, that look like one from outside."""
