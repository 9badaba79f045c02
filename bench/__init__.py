"""What an mTLS proxy pair costs: ours, beside those that people run today."""
