"""The database of identities: people, machines, login sessions and started sign-ins, shared by all services."""
