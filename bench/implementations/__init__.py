"""The implementations to compare with. Each is a process that consumes the topics until it is stopped."""
