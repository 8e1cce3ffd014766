"""Four services; none knows another, each can work while the others are down."""
