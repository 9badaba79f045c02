"""The work that every pair is given, one module for each kind."""
