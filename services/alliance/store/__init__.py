"""Where alliance stores events, states and dispositions."""
