"""Readers that belong to no group: they commit nothing, and read what lies on the topics from where they like."""

import asyncio

from aiokafka import AIOKafkaConsumer


async def stop_reader(reader: AIOKafkaConsumer) -> None:
    """Disconnect."""
    try:
        await reader.stop()
    except asyncio.CancelledError:  # one without a group lets its own cancelled task out
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
