"""What the guarantees of the alliance service cost, measured against other implementations of the same work."""
