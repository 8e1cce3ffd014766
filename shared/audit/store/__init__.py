"""Where the chains of a service are stored."""
