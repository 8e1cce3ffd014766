"""Whether what nobody can read was set aside, and nothing else: byte for byte, with its origin and the cause."""

from collections.abc import Sequence

from aiokafka import ConsumerRecord

from shared.kafka.dead_letters.record import ERROR, ORIGIN
from tests.system.chaos.checker.topic_contents import Record
from tests.system.support.poison import Poison


def amiss(consumer: str, record: Record, planted: Sequence[Poison]) -> tuple[list[str], int]:
    """What is wrong with the dead letters of `consumer`; and how many say again what another says.

    What was set aside twice from one place is the same letter.
    """
    letters = record.letters.get(consumer, [])
    wrong = [f"planted and on no topic: {p.name}" for p in planted if p not in record.poison.values()]
    by_origin: dict[str, ConsumerRecord] = {}
    for letter in letters:
        headers = dict(letter.headers)
        origin = headers.get(ORIGIN, b"").decode()
        poison = record.poison.get(origin)
        if poison is None or consumer not in poison.set_aside_by:
            wrong.append(f"set aside without need: {origin or letter.key}")
        elif (letter.key, letter.value) != (poison.key, poison.value) or not headers.get(ERROR):
            wrong.append(f"set aside otherwise than it lies, or without a cause: {origin}")
        by_origin[origin] = letter
    due = {origin for origin, poison in record.poison.items() if consumer in poison.set_aside_by}
    wrong += [f"not set aside: {origin}" for origin in due - by_origin.keys()]
    return wrong, len(letters) - len(by_origin)
