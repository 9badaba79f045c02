"""Who a workload is: SPIFFE IDs, X.509-SVIDs and trust bundles."""
