"""What holds on the real Kafka and MongoDB."""
