"""What the notify service does on the real Kafka, MongoDB, SMTP and HTTP."""
