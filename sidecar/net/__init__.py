"""Sockets: listening, dialling, and where a redirected connection was going."""
