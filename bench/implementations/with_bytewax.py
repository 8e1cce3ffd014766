"""bytewax: a dataflow whose one step takes whatever batch the source gives it."""

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from bench.implementations import common
from bench.implementations.blocking import Blocking


def main() -> None:
    loop = Blocking()

    def take(messages: list[object]) -> list[object]:
        payloads = [message.value for message in messages]  # type: ignore[attr-defined]
        batches = [payloads[start : start + common.BATCH] for start in range(0, len(payloads), common.BATCH)]
        return [
            KafkaSinkMessage(derived_message.key, derived_message.value, derived_message.topic)
            for batch in batches
            for derived_message in loop.take(batch)
        ]

    flow = Dataflow("same")
    consumed = op.input("hear", flow, KafkaSource([common.KAFKA], common.TOPICS, batch_size=common.BATCH))
    derived = op.flat_map_batch("take", consumed, take)
    op.output("tell", derived, KafkaSink([common.KAFKA], None))
    cli_main(flow)


if __name__ == "__main__":
    main()
