"""What holds of the simulated clinic network, and of the judge who looks at what became of it."""
