"""docker-compose.yml matches the settings of the services, and exposes no more than necessary."""

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
    *("kafka_bootstrap_servers", "mongodb_uri", "mongodb_username"),  # other containers
    *(
        "http_host",
        "http_port",
        "ops_host",
        "ops_port",
        "unprotected",
    ),  # reachable from other containers, and published on the loopback interface only
    "allowed_hosts",  # the containers' names and the gateway's
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
    """Reads a merge tag of compose as the value that it precedes."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
PRODUCTION: JsonObject = yaml.load((ROOT / "docker-compose.production.yml").read_text(encoding="utf-8"), Loader)


def environment(container: str) -> dict[str, str]:
    """The environment of a container if no variable is set."""
    configured: JsonObject = CONTAINERS[container].get("environment", {})
    return {name: VARIABLE.sub(r"\g<default>", str(value)) for name, value in configured.items() if value is not None}


def secrets(container: str) -> dict[str, str]:
    """The secrets of a container, by the name of the file."""
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
    """The default settings that are the same with compose and without."""
    return {name: field.default for name, field in settings.model_fields.items() if name not in DIFFERENT_IN_COMPOSE}


@pytest.fixture
def service_settings(monkeypatch: pytest.MonkeyPatch, service: str) -> type[BaseSettings]:
    """The settings class of a service, in the environment of its container."""
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
def test_compose_sets_exactly_the_settings_of_a_service(service: str) -> None:
    settings = import_module(f"services.{service}.settings").Settings
    configured = {name.lower() for name in CONTAINERS[service]["environment"]}

    assert configured | set(secrets(service)) == set(settings.model_fields)
    assert not configured & set(secrets(service))


@every_service
def test_a_default_is_the_same_with_and_without_compose(
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


def test_compose_sets_exactly_the_settings_of_the_lag_exporter() -> None:
    assert {name.lower() for name in environment("lag")} == set(LagSettings.model_fields)


def test_compose_sets_exactly_the_settings_of_the_replica_set_job() -> None:
    configured = {name.lower() for name in environment("replica-set")} | set(secrets("replica-set"))

    assert configured == set(ReplicaSetSettings.model_fields)
    assert environment("replica-set")["MONGODB_MEMBERS"] in environment("intake")["MONGODB_URI"]


def test_every_secret_is_checked_before_anything_uses_it() -> None:
    assert set(COMPOSE["secrets"]) == set(secrets("secrets")) == {*REQUIRED_SECRETS, *OPTIONAL_SECRETS}
    for name, container in CONTAINERS.items():
        if container.get("secrets") and name != "secrets":
            assert first_dependency(name) == "secrets", name


def first_dependency(name: str) -> str:
    """The container that must be done first of all dependencies of a container, direct or not."""
    dependencies = CONTAINERS[name].get("depends_on", {})
    return (
        name
        if not dependencies
        else first_dependency("secrets" if "secrets" in dependencies else next(iter(dependencies)))
    )


@every_container
def test_only_the_gateway_is_reachable_from_other_machines(name: str) -> None:
    for port in CONTAINERS[name].get("ports", []):
        assert port.startswith("127.0.0.1:") or name == "gateway", port


def test_unprotected_services_are_marked_in_the_file() -> None:
    assert [name for name in CONTAINERS if UNPROTECTED in environment(name).values()] == list(SERVICES)


@every_container
def test_a_container_has_no_unnecessary_privileges(name: str) -> None:
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
def test_a_failed_container_restarts_and_a_job_ends(name: str) -> None:
    assert CONTAINERS[name]["restart"] == ("no" if name in JOBS else "unless-stopped")


@pytest.mark.parametrize("name", BUILT_CONTAINERS)
def test_our_containers_run_as_an_unprivileged_user(name: str) -> None:
    assert CONTAINERS[name]["user"] == "10001:10001"
    assert CONTAINERS[name]["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in BUILT_CONTAINERS])
def test_a_third_party_container_has_a_health_check(name: str) -> None:
    check = CONTAINERS[name]["healthcheck"]["test"]

    assert check[0] == "CMD"
    assert "curl" not in check


@every_service
def test_a_service_is_built_as_itself_and_reached_at_its_own_ports(service: str) -> None:
    fields = import_module(f"services.{service}.settings").Settings.model_fields
    port, ops_port = fields["http_port"].default, fields["ops_port"].default

    assert CONTAINERS[service]["build"] == {"context": ".", "target": "service", "args": {"SERVICE": service}}
    assert CONTAINERS[service]["ports"] == [f"127.0.0.1:{port}:8000", f"127.0.0.1:{ops_port}:9000"]


@every_service
def test_a_service_has_time_to_finish_its_requests_and_its_batch(service: str) -> None:
    grace = int(CONTAINERS[service]["stop_grace_period"].removesuffix("s"))

    assert grace > HTTP_DRAIN_SECONDS + ConsumerTimings().drain_timeout_seconds


@every_service
def test_a_service_starts_after_its_dependencies(service: str) -> None:
    assert CONTAINERS[service]["depends_on"] == {
        "topics": {"condition": "service_completed_successfully"},
        "replica-set": {"condition": "service_completed_successfully"},
    }
    assert CONTAINERS["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert CONTAINERS["replica-set"]["depends_on"] == {"mongo": {"condition": "service_healthy"}}


def test_the_data_stores_are_only_on_an_internal_network() -> None:
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert CONTAINERS["kafka"]["networks"] == CONTAINERS["mongo"]["networks"] == ["stores"]
    assert "stores" not in [*CONTAINERS["gateway"]["networks"], *CONTAINERS["prometheus"]["networks"]]


@every_container
def test_every_image_is_pinned(name: str) -> None:
    container = CONTAINERS[name]

    assert container["image"].startswith("attune-") or re.search(r":v?\d+\.\d+\.\d+(-alpine)?$", container["image"])


def test_every_third_party_image_has_a_stand_in_for_tests() -> None:
    others = {c["image"] for c in CONTAINERS.values() if not c["image"].startswith("attune-")}

    assert others < set(stages_by_image())


def test_the_tests_run_against_the_same_version_of_kafka() -> None:
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{VERSION}"


def test_the_example_environment_lists_every_variable_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    with_value = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    without_value = dict.fromkeys(re.findall(r"^# ([A-Z_]+)=$", example, re.MULTILINE))

    assert with_value | without_value == dict(variables())
    assert len(set(variables())) == len(dict(variables())), "one name has two defaults"


def test_prometheus_scrapes_every_service_and_the_lag_exporter() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    scraped = {target for job in config["scrape_configs"] for s in job["static_configs"] for target in s["targets"]}

    assert {f"{service}:9000" for service in (*SERVICES, "lag")} == scraped


def test_in_production_all_data_is_stored_three_times() -> None:
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
