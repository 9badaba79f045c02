"""How the cost of the sidecar grows: with open connections, and with rules."""
