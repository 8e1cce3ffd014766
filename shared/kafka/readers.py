"""Readers outside every consumer group: they commit nothing, and read topics from any offset."""

import asyncio

from aiokafka import AIOKafkaConsumer


async def stop_reader(reader: AIOKafkaConsumer) -> None:
    """Disconnect."""
    try:
        await reader.stop()
    except asyncio.CancelledError:  # without a group, aiokafka leaks the cancellation of its own task
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
