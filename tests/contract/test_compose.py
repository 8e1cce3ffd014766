"""What docker-compose.yml starts is what the services expect, and no more open than it must be."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.contracts import SERVICES
from deploy.local.kafka import VERSION
from shared.http.server import DRAIN_SECONDS as HTTP_DRAIN_SECONDS
from shared.kafka.consumer import DRAIN_SECONDS as KAFKA_DRAIN_SECONDS
from shared.kafka.topics import TopicSettings
from shared.settings import UNPROTECTED
from tests.contract.as_in_the_image import ROOT

Part = dict[str, Any]

VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")

OTHERWISE_HERE = {
    *("kafka_bootstrap_servers", "mongodb_uri"),  # the containers beside it
    *("http_host", "http_port", "unprotected"),  # reached from outside its container, and published on loopback only
    "smtp_host",  # the machine that runs Docker
    "policy_dir",  # a volume
}

COMPOSE: Part = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, Part] = COMPOSE["services"]

every_service = pytest.mark.parametrize("service", SERVICES)
every_container = pytest.mark.parametrize("name", CONTAINERS)


def environment(container: str) -> dict[str, str]:
    """What a container finds in its environment when nobody set anything."""
    told: Part = CONTAINERS[container].get("environment", {})
    return {name: VARIABLE.sub(r"\g<default>", str(value)) for name, value in told.items() if value is not None}


def variables() -> Iterator[tuple[str, str | None]]:
    """Every variable that compose reads, with its default."""
    for container in CONTAINERS.values():
        for name, value in container.get("environment", {}).items():
            if value is None:
                yield name, None
            yield from VARIABLE.findall(str(value))
        for volume in container.get("volumes", []):
            yield from VARIABLE.findall(volume)


def defaults(settings: type[BaseSettings]) -> dict[str, object]:
    """What holds when nobody set anything, of the settings that are the same with compose and without."""
    return {name: field.default for name, field in settings.model_fields.items() if name not in OTHERWISE_HERE}


@every_service
def test_a_service_starts_with_the_settings_it_is_given(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = import_module(f"services.{service}.settings").Settings
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)

    assert settings().http_host == "0.0.0.0"


@every_service
def test_a_service_knows_every_setting_it_is_given_and_is_given_every_setting_it_knows(service: str) -> None:
    settings = import_module(f"services.{service}.settings").Settings

    assert {name.lower() for name in CONTAINERS[service]["environment"]} == set(settings.model_fields)


@every_service
def test_a_setting_that_nobody_made_is_the_same_with_compose_and_without(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = import_module(f"services.{service}.settings").Settings
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)

    found = settings()

    assert {name: getattr(found, name) for name in defaults(settings)} == defaults(settings)


def test_the_topics_job_starts_with_the_settings_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("topics").items():
        monkeypatch.setenv(name, value)

    assert {name.lower() for name in environment("topics")} == set(TopicSettings.model_fields)
    assert TopicSettings().kafka_bootstrap_servers == environment("intake")["KAFKA_BOOTSTRAP_SERVERS"]


@every_container
def test_nobody_but_this_machine_is_let_in(name: str) -> None:
    for port in CONTAINERS[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_what_is_unprotected_can_be_told_from_the_file() -> None:
    assert [name for name in CONTAINERS if UNPROTECTED in environment(name).values()] == list(SERVICES)


@every_container
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    container = CONTAINERS[name]

    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["mem_limit"]
    assert container["pids_limit"]
    assert container["logging"]["options"]["max-size"], "a log that grows for ever fills the disk"


@pytest.mark.parametrize("name", [*SERVICES, "topics"])
def test_a_container_of_ours_writes_nothing_and_is_nobody(name: str) -> None:
    container = CONTAINERS[name]

    assert container["read_only"] is True
    assert container["tmpfs"] == ["/tmp"]
    assert container["user"] == "10001:10001"
    assert container["init"] is True


@every_service
def test_a_service_is_built_as_itself_and_reached_at_its_own_port(service: str) -> None:
    port = import_module(f"services.{service}.settings").Settings.model_fields["http_port"].default

    assert CONTAINERS[service]["build"]["args"] == {"SERVICE": service}
    assert CONTAINERS[service]["ports"] == [f"127.0.0.1:{port}:8000"]


@every_service
def test_a_service_has_the_time_to_finish_what_is_in_hand(service: str) -> None:
    grace = int(CONTAINERS[service]["stop_grace_period"].removesuffix("s"))

    assert grace > HTTP_DRAIN_SECONDS + KAFKA_DRAIN_SECONDS


@every_service
def test_a_service_waits_for_what_it_needs(service: str) -> None:
    assert CONTAINERS[service]["depends_on"] == {
        "mongo": {"condition": "service_healthy"},
        "topics": {"condition": "service_completed_successfully"},
    }
    assert CONTAINERS["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}


@every_container
def test_every_image_is_pinned(name: str) -> None:
    container = CONTAINERS[name]

    assert "build" in container or re.search(r":v?\d+\.\d+\.\d+$", container["image"])


def test_kafka_is_the_one_that_the_tests_run_against() -> None:
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{VERSION}"


def test_the_example_environment_says_what_can_be_set_and_what_it_is_otherwise() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    set_there = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    named_there = dict.fromkeys(re.findall(r"^# ([A-Z_]+)=$", example, re.MULTILINE))

    assert set_there | named_there == dict(variables())
    assert len(set(variables())) == len(dict(variables())), "one name has two defaults"


def test_prometheus_scrapes_every_service() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]

    assert job["static_configs"] == [{"targets": [f"{service}:8000" for service in SERVICES]}]
