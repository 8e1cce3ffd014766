"""Real servers for tests: Kafka, MongoDB and an issuer of identities; each starts when the first test needs it."""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.support.actors import PUBLIC_URL, Actors
from tools.sandbox.servers import mongod
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import IssuerConfiguration
from tools.sandbox.servers.kafka import FAST_START, kafka_server
from tools.sandbox.servers.ports import free_ports

# No deadline: machines are noisy, and measuring time is the purpose of the benchmarks.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if "CI" in os.environ else "here")


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap servers of a real Kafka: from the environment, or else of a server for this session."""
    if configured := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield configured
        return
    with kafka_server(tmp_path_factory.mktemp("kafka"), *free_ports(2), java_options=FAST_START) as server:
        yield server.address


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real MongoDB with transactions: from the environment, or else of a server for this session."""
    if configured := os.environ.get("MONGODB_URI"):
        yield configured
        return
    with mongod.mongodb_server(tmp_path_factory.mktemp("mongodb"), *free_ports(1)) as server:
        yield server.address


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIssuer]:
    """An issuer for this session. A test adds the front doors, people and machines that it needs."""
    configuration = IssuerConfiguration(front_doors=(PUBLIC_URL,))
    with LocalIssuer(tmp_path_factory.mktemp("issuer"), free_ports(1)[0], configuration) as started:
        yield started


@pytest.fixture(scope="session")
def actors(issuer: LocalIssuer, mongodb_uri: str) -> Actors:
    """People and systems of clinics, whom every service with these settings lets in."""
    return Actors(issuer, mongodb_uri, f"test_identity_{uuid4().hex}")
