"""What the operator wrote: the configuration as values, and every problem in it."""
