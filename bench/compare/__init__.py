"""The comparison: every pair, every work, in turn, and the table of what it cost."""
