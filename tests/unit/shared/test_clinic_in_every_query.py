"""Every store method that serves a request is confined to a clinic; the few that work for all clinics are listed."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Protocol, get_origin, get_type_hints

from shared.access.clinic_id import ClinicId
from shared.outbox.documents import ClinicDocuments
from tools.contracts.documents import SERVICES

NOT_CONFINED_YET = {"sessions", "alliance", "notify"}
"""Services whose documents do not have their clinic yet."""

FOR_ALL_CLINICS = {
    "intake.Store.list_unpublished_clinics": "a background task at the start of the service",
}
"""Why each of these does not take a clinic."""


def test_a_store_method_takes_the_clinic_first_or_is_listed_with_the_reason() -> None:
    unconfined = {name for name, member in _members() if not _is_confined(member)}

    assert unconfined == set(FOR_ALL_CLINICS)


def _members() -> Iterator[tuple[str, Any]]:
    """The public methods and properties of the stores of all services."""
    for service in SERVICES:
        if service in NOT_CONFINED_YET:
            continue
        module = importlib.import_module(f"services.{service}.store.protocol")
        for protocol in vars(module).values():
            if inspect.isclass(protocol) and protocol.__module__ == module.__name__ and Protocol in protocol.__bases__:
                for name, member in vars(protocol).items():
                    if not name.startswith("_"):
                        yield f"{service}.{protocol.__name__}.{name}", member


def _is_confined(member: Any) -> bool:
    if isinstance(member, property):  # documents that nobody reads or writes without `within(clinic)`
        return get_origin(get_type_hints(member.fget)["return"]) is ClinicDocuments
    _, first, *_ = [*inspect.signature(member).parameters, ""]
    return first == "clinic" and get_type_hints(member)["clinic"] in (ClinicId, ClinicId | None)
