"""What puts load on a pair: wrk, connections held open, requests at a fixed rate."""
