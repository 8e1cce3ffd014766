"""Four services. None imports another, and each works while the others are down."""
