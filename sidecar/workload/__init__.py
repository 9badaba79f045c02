"""The SPIFFE Workload API: identities as an agent on the node sends them."""
