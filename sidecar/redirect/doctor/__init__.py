"""What is wrong with a pod's interception, decided from facts alone."""
