"""How each proxy is told to do the same: one module, one class for each."""
