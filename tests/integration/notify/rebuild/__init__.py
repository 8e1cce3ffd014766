"""Rebuild and verify of notify, on a real Kafka of its own."""
