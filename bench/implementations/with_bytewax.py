"""bytewax: a dataflow with one step, which handles the batches that the source gives it."""

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from bench.implementations import common
from bench.implementations.blocking import BlockingLoop


def main() -> None:
    loop = BlockingLoop()

    def handle_batch(messages: list[object]) -> list[object]:
        payloads = [message.value for message in messages]  # type: ignore[attr-defined]
        batches = [payloads[start : start + common.BATCH_SIZE] for start in range(0, len(payloads), common.BATCH_SIZE)]
        return [
            KafkaSinkMessage(derived_message.key, derived_message.value, derived_message.topic)
            for batch in batches
            for derived_message in loop.handle_batch(batch)
        ]

    flow = Dataflow("alliance")
    consumed = op.input(
        "consume", flow, KafkaSource([common.BOOTSTRAP_SERVERS], common.TOPICS, batch_size=common.BATCH_SIZE)
    )
    derived = op.flat_map_batch("handle", consumed, handle_batch)
    op.output("publish", derived, KafkaSink([common.BOOTSTRAP_SERVERS], None))
    cli_main(flow)


if __name__ == "__main__":
    main()
