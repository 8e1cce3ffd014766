"""What our guarantees cost, and where the limit is: measured beside others that do the same work."""
