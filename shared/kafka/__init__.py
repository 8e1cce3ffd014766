"""Access to Kafka: consuming, publishing and dead-lettering.

How faststream and aiokafka behave in failures, and why we use them this way, is described in docs/adr/0003-kafka.md.
"""

from shared.kafka.client import Kafka

__all__ = ["Kafka"]
