"""TLS through pyOpenSSL: contexts, handshakes and the verdict on a peer."""
