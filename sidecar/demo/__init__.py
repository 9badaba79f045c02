"""`sidecar demo`: the whole of it at work, with nothing set up."""
