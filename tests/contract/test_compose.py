"""What docker-compose.yml starts is what the services expect, and no more open than it must be."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.jobs.lag_exporter import LagSettings
from deploy.jobs.replica_set import ReplicaSetSettings
from deploy.jobs.secret_files import OPTIONAL_SECRETS, REQUIRED_SECRETS
from deploy.jobs.topics import TopicSettings
from shared.http.server import DRAIN_TIMEOUT_SECONDS as HTTP_DRAIN_SECONDS
from shared.kafka.subscriber import ConsumerTimings
from shared.runtime.settings import UNPROTECTED
from tests.contract.image_imports import ROOT
from tests.system.containers.stand_ins import stages_by_image
from tools.contracts.documents import SERVICES
from tools.sandbox.servers.kafka import VERSION

JsonObject = dict[str, Any]

VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")

DIFFERENT_IN_COMPOSE = {
    *("kafka_bootstrap_servers", "mongodb_uri", "mongodb_username"),  # the containers beside it
    *("http_host", "http_port", "unprotected"),  # reached from outside its container, and published on loopback only
    "public_url",  # the gateway's
    "smtp_host",  # the machine that runs Docker
    "policy_dir",  # a volume
}

COMPOSE: JsonObject = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, JsonObject] = COMPOSE["services"]
JOBS = ("secrets", "topics", "replica-set")
BUILT_CONTAINERS = (*SERVICES, *JOBS, "lag", "clinic")

every_service = pytest.mark.parametrize("service", SERVICES)
every_container = pytest.mark.parametrize("name", CONTAINERS)


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads the merge instructions of compose as what they stand before."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
PRODUCTION: JsonObject = yaml.load((ROOT / "docker-compose.production.yml").read_text(encoding="utf-8"), Loader)


def environment(container: str) -> dict[str, str]:
    """What a container finds in its environment when nobody set anything."""
    configured: JsonObject = CONTAINERS[container].get("environment", {})
    return {name: VARIABLE.sub(r"\g<default>", str(value)) for name, value in configured.items() if value is not None}


def secrets(container: str) -> dict[str, str]:
    """Which secret a container finds under which name."""
    listed = CONTAINERS[container].get("secrets", [])
    return {s: s for s in listed if isinstance(s, str)} | {
        s["target"]: s["source"] for s in listed if isinstance(s, dict)
    }


def variables() -> Iterator[tuple[str, str | None]]:
    """Every variable that compose reads, with its default."""
    for container in CONTAINERS.values():
        for name, value in container.get("environment", {}).items():
            if value is None:
                yield name, None
    for file in ("docker-compose.yml", "docker-compose.production.yml"):
        yield from VARIABLE.findall((ROOT / file).read_text(encoding="utf-8"))


def defaults(settings: type[BaseSettings]) -> dict[str, object]:
    """What holds when nobody set anything, of the settings that are the same with compose and without."""
    return {name: field.default for name, field in settings.model_fields.items() if name not in DIFFERENT_IN_COMPOSE}


@pytest.fixture
def service_settings(monkeypatch: pytest.MonkeyPatch, service: str) -> type[BaseSettings]:
    """The settings of a service, in an environment such as compose gives it."""
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    settings_class: type[BaseSettings] = import_module(f"services.{service}.settings").Settings
    return settings_class


@every_service
def test_a_service_starts_with_the_settings_it_is_given(
    service: str, service_settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_PASSWORD", "as in the file")

    settings = service_settings().model_dump()

    assert settings["http_host"] == "0.0.0.0"
    assert settings["mongodb_uri"].startswith(f"mongodb://{service}:as+in+the+file@mongo:27017/")


@every_service
def test_a_service_knows_every_setting_it_is_given_and_is_given_every_setting_it_knows(service: str) -> None:
    settings = import_module(f"services.{service}.settings").Settings
    given = {name.lower() for name in CONTAINERS[service]["environment"]}

    assert given | set(secrets(service)) == set(settings.model_fields)
    assert not given & set(secrets(service))


@every_service
def test_a_setting_that_nobody_made_is_the_same_with_compose_and_without(
    service: str, service_settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONGODB_USERNAME")

    settings = service_settings()

    assert {name: getattr(settings, name) for name in defaults(service_settings)} == defaults(service_settings)


@every_service
def test_a_service_has_the_password_of_its_own_database_and_no_other(service: str) -> None:
    assert environment(service)["MONGODB_USERNAME"] == service
    assert environment(service)["MONGODB_DATABASE"] == f"attune_{service}"
    assert {name: s for name, s in secrets(service).items() if "mongodb" in s} == {
        "mongodb_password": f"{service}_mongodb_password"
    }


def test_the_topics_job_starts_with_the_settings_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("topics").items():
        monkeypatch.setenv(name, value)

    assert {name.lower() for name in environment("topics")} == set(TopicSettings.model_fields)
    assert TopicSettings().kafka_bootstrap_servers == environment("intake")["KAFKA_BOOTSTRAP_SERVERS"]


def test_what_measures_the_lag_is_given_every_setting_it_knows() -> None:
    assert {name.lower() for name in environment("lag")} == set(LagSettings.model_fields)


def test_the_replica_set_job_is_given_every_setting_it_knows() -> None:
    given = {name.lower() for name in environment("replica-set")} | set(secrets("replica-set"))

    assert given == set(ReplicaSetSettings.model_fields)
    assert environment("replica-set")["MONGODB_MEMBERS"] in environment("intake")["MONGODB_URI"]


def test_every_secret_is_looked_at_before_anything_uses_it() -> None:
    assert set(COMPOSE["secrets"]) == set(secrets("secrets")) == {*REQUIRED_SECRETS, *OPTIONAL_SECRETS}
    for name, container in CONTAINERS.items():
        if container.get("secrets") and name != "secrets":
            assert first_dependency(name) == "secrets", name


def first_dependency(name: str) -> str:
    """What must have ended well before anything else of what a container waits for."""
    dependencies = CONTAINERS[name].get("depends_on", {})
    return (
        name
        if not dependencies
        else first_dependency("secrets" if "secrets" in dependencies else next(iter(dependencies)))
    )


@every_container
def test_nobody_but_this_machine_is_let_in_but_through_the_gateway(name: str) -> None:
    for port in CONTAINERS[name].get("ports", []):
        assert port.startswith("127.0.0.1:") or name == "gateway", port


def test_what_is_unprotected_can_be_told_from_the_file() -> None:
    assert [name for name in CONTAINERS if UNPROTECTED in environment(name).values()] == list(SERVICES)


@every_container
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    container = CONTAINERS[name]

    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["read_only"] is True
    assert container["init"] is True
    assert container["mem_limit"]
    assert container["pids_limit"]
    assert container["logging"]["options"]["max-size"], "a log that grows for ever fills the disk"
    assert container.get("user", "") not in ("0", "root", "0:0")


@every_container
def test_a_container_that_fell_comes_back_and_a_job_ends(name: str) -> None:
    assert CONTAINERS[name]["restart"] == ("no" if name in JOBS else "unless-stopped")


@pytest.mark.parametrize("name", BUILT_CONTAINERS)
def test_a_container_of_ours_is_nobody(name: str) -> None:
    assert CONTAINERS[name]["user"] == "10001:10001"
    assert CONTAINERS[name]["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in BUILT_CONTAINERS])
def test_what_others_made_says_whether_it_is_well(name: str) -> None:
    check = CONTAINERS[name]["healthcheck"]["test"]

    assert check[0] == "CMD"
    assert "curl" not in check


@every_service
def test_a_service_is_built_as_itself_and_reached_at_its_own_port(service: str) -> None:
    port = import_module(f"services.{service}.settings").Settings.model_fields["http_port"].default

    assert CONTAINERS[service]["build"] == {"context": ".", "target": "service", "args": {"SERVICE": service}}
    assert CONTAINERS[service]["ports"] == [f"127.0.0.1:{port}:8000"]


@every_service
def test_a_service_has_the_time_to_finish_what_is_in_hand(service: str) -> None:
    grace = int(CONTAINERS[service]["stop_grace_period"].removesuffix("s"))

    assert grace > HTTP_DRAIN_SECONDS + ConsumerTimings().drain_timeout_seconds


@every_service
def test_a_service_waits_for_what_it_needs(service: str) -> None:
    assert CONTAINERS[service]["depends_on"] == {
        "topics": {"condition": "service_completed_successfully"},
        "replica-set": {"condition": "service_completed_successfully"},
    }
    assert CONTAINERS["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert CONTAINERS["replica-set"]["depends_on"] == {"mongo": {"condition": "service_healthy"}}


def test_what_keeps_data_can_neither_reach_out_nor_be_reached() -> None:
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert CONTAINERS["kafka"]["networks"] == CONTAINERS["mongo"]["networks"] == ["stores"]
    assert "stores" not in [*CONTAINERS["gateway"]["networks"], *CONTAINERS["prometheus"]["networks"]]


@every_container
def test_every_image_is_pinned(name: str) -> None:
    container = CONTAINERS[name]

    assert container["image"].startswith("attune-") or re.search(r":v?\d+\.\d+\.\d+(-alpine)?$", container["image"])


def test_every_image_of_others_has_a_stand_in_to_be_proven_with() -> None:
    others = {c["image"] for c in CONTAINERS.values() if not c["image"].startswith("attune-")}

    assert others < set(stages_by_image())


def test_kafka_is_the_one_that_the_tests_run_against() -> None:
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{VERSION}"


def test_the_example_environment_says_what_can_be_set_and_what_it_is_otherwise() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    with_value = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    without_value = dict.fromkeys(re.findall(r"^# ([A-Z_]+)=$", example, re.MULTILINE))

    assert with_value | without_value == dict(variables())
    assert len(set(variables())) == len(dict(variables())), "one name has two defaults"


def test_prometheus_scrapes_every_service_and_what_measures_the_lag() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    scraped = {target for job in config["scrape_configs"] for s in job["static_configs"] for target in s["targets"]}

    assert {f"{service}:8000" for service in (*SERVICES, "lag")} == scraped


def test_in_production_every_fact_is_kept_three_times() -> None:
    parts: dict[str, JsonObject] = PRODUCTION["services"]
    brokers, members = ["kafka", "kafka-2", "kafka-3"], ["mongo", "mongo-2", "mongo-3"]

    assert set(brokers) | set(members) <= set(parts)
    assert (
        parts["topics"]["environment"]["KAFKA_REPLICATION"],
        parts["topics"]["environment"]["KAFKA_MIN_INSYNC_REPLICAS"],
    ) == (3, 2)
    assert parts["replica-set"]["environment"]["MONGODB_MEMBERS"] == ",".join(f"{m}:27017" for m in members)
    for service in SERVICES:
        assert all(f"{member}:27017" in parts[service]["environment"]["MONGODB_URI"] for member in members)
        assert all(f"{broker}:9092" in parts[service]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] for broker in brokers)
