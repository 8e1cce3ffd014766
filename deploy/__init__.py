"""What runs and ships Attune; no service imports it."""
