"""Rebuild and verify of notify, on a real Kafka with empty topics."""
