"""What more than one service needs, once: facts, topics, and the one way to reach Kafka, MongoDB and HTTP."""
