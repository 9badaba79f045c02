"""The iptables rules of a pod: what they are, and putting them in place."""
