"""What a pair really does, seen from between its two sides."""
