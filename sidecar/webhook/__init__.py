"""Injection as an admission webhook: an API server asks, and pods get the sidecar."""
