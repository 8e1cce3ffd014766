"""What Attune promises, each promise as a test."""
