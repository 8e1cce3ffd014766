"""Whether exactly the poison messages were dead-lettered, byte for byte, with their origin and the error."""

from collections.abc import Sequence

from aiokafka import ConsumerRecord

from shared.kafka.dead_letters.record import ERROR_HEADER, ORIGIN_HEADER
from tests.system.chaos.checker.topic_contents import TopicContents
from tests.system.support.poison import PoisonMessage


def dead_letter_differences(
    consumer: str, contents: TopicContents, poison_messages: Sequence[PoisonMessage]
) -> tuple[list[str], int]:
    """What is wrong with the dead letters of `consumer`, and how many of them are duplicates.

    Two dead letters with the same origin are the same dead letter.
    """
    dead_letter_records = contents.dead_letters.get(consumer, [])
    differences = [
        f"poison message on no topic: {poison_message.name}"
        for poison_message in poison_messages
        if poison_message not in contents.poison_by_origin.values()
    ]
    by_origin: dict[str, ConsumerRecord] = {}
    for dead_letter in dead_letter_records:
        headers = dict(dead_letter.headers)
        origin = headers.get(ORIGIN_HEADER, b"").decode()
        poison = contents.poison_by_origin.get(origin)
        if poison is None or consumer not in poison.dead_lettered_by:
            differences.append(f"dead-lettered without reason: {origin or dead_letter.key}")
        elif (dead_letter.key, dead_letter.value) != (poison.key, poison.value) or not headers.get(ERROR_HEADER):
            differences.append(f"dead letter differs from its message or has no error header: {origin}")
        by_origin[origin] = dead_letter
    expected_origins = {
        origin for origin, poison in contents.poison_by_origin.items() if consumer in poison.dead_lettered_by
    }
    differences += [f"not dead-lettered: {origin}" for origin in expected_origins - by_origin.keys()]
    return differences, len(dead_letter_records) - len(by_origin)
