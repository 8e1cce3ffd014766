"""What more than one service needs: events, topics, and access to Kafka, MongoDB and HTTP."""
