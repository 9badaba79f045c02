"""The sidecar into a pod: one pure function from a pod and settings to a JSON patch."""
