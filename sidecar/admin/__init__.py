"""The HTTP listeners: telemetry, probes and what changes state."""
