"""The one way to consume, to publish and to set aside.

What faststream and aiokafka do when things break, and why we use them as we do, is in docs/adr/0003-kafka.md.
"""

from shared.kafka.client import Kafka

__all__ = ["Kafka"]
