"""What other proxies do with the certificates of the table: certs/conformance.md."""
