"""What a policy and routes would do, told without a connection."""
