"""The jars of Kafka are pinned one by one, so that nothing is downloaded that a broker does not need."""

import re

from tools.sandbox.servers.kafka import HASHES_FILE, VERSION

JARS = {path: sha256 for sha256, path in (line.split("  ") for line in HASHES_FILE.read_text().splitlines())}
"""The hash of each path in a Maven repository."""


def test_every_jar_is_named_by_its_path_in_a_maven_repository_and_pinned_by_its_hash() -> None:
    for path, sha256 in JARS.items():
        *group, artifact, version, name = path.split("/")
        assert group
        assert name == f"{artifact}-{version}.jar"
        assert re.fullmatch("[0-9a-f]{64}", sha256)


def test_the_jars_of_one_kafka_have_one_version() -> None:
    kafka_jars = [path for path in JARS if path.startswith("org/apache/kafka/")]

    assert f"org/apache/kafka/kafka_2.13/{VERSION}/kafka_2.13-{VERSION}.jar" in kafka_jars
    assert {path.split("/")[-2] for path in kafka_jars} == {VERSION}


def test_no_jar_is_there_for_kafka_connect() -> None:
    assert not [path for path in JARS if re.search("/(connect-|jetty-|jersey-|hk2-|scala-reflect)", path)]
