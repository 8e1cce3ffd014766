"""bytewax: a dataflow whose one step takes whatever batch the source gives it."""

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from bench.implementations import common
from bench.implementations.blocking import Blocking


def main() -> None:
    work = Blocking()

    def take(messages: list[object]) -> list[object]:
        values = [message.value for message in messages]  # type: ignore[attr-defined]
        parts = [values[start : start + common.BATCH] for start in range(0, len(values), common.BATCH)]
        return [KafkaSinkMessage(one.key, one.value, one.topic) for part in parts for one in work.take(part)]

    flow = Dataflow("same")
    heard = op.input("hear", flow, KafkaSource([common.KAFKA], common.TOPICS, batch_size=common.BATCH))
    told = op.flat_map_batch("take", heard, take)
    op.output("tell", told, KafkaSink([common.KAFKA], None))
    cli_main(flow)


if __name__ == "__main__":
    main()
