"""Counts that do not depend on the machine's mood, held to limits in limits.json."""
