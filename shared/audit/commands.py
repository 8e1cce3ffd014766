"""The command `verify-audit` of a service: whether every chain is as it was written."""

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.access.table.row import Service
from shared.audit.chain import Head
from shared.audit.keys import AuditKeys
from shared.audit.store.mongo import MongoAuditStore
from shared.audit.store.protocol import AuditStore
from shared.audit.verify import ChainVerifier, Problem
from shared.mongo.client import Mongo
from shared.runtime import terminal
from shared.runtime.commands import Subparsers
from shared.runtime.terminal import report

COMMAND_NAME = "verify-audit"
_DESCRIPTION = (
    "Verify every audit line of this service while the service runs, and print what was removed, changed, reordered, "
    "forked or cut off. Exit code: 0 if every chain is as it was written, 1 if one is not, or if MongoDB is "
    "unavailable. Pass heads from the logs (`Audit head`): only these prove that no end was cut off together with the "
    "head in the database."
)


class Settings(Protocol):
    """What the command needs of a service's settings."""

    @property
    def mongodb_uri(self) -> str: ...
    @property
    def mongodb_database(self) -> str: ...
    @property
    def mongodb_driver(self) -> Literal["motor", "pymongo"]: ...
    @property
    def audit_keys(self) -> AuditKeys: ...


def add_command(subparsers: Subparsers) -> None:
    """Add `verify-audit` to the commands of a service."""
    parser = subparsers.add_parser(COMMAND_NAME, help="verify that no audit line is missing", description=_DESCRIPTION)
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        type=_parse_head,
        metavar="CLINIC:SEQUENCE:MAC",
        help="a head from the logs, as often as wanted",
    )


def run(args: argparse.Namespace, service: Service, settings: Settings) -> int:
    """Run the command and return its exit code."""
    return terminal.run(COMMAND_NAME, _run(service, settings, args.head))


async def _run(service: Service, settings: Settings, heads: Sequence[Head]) -> int:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    try:
        return await verify_audit(MongoAuditStore(mongo), service, settings.audit_keys, heads)
    finally:
        await mongo.close()


async def verify_audit(store: AuditStore, service: Service, keys: AuditKeys, heads: Iterable[Head]) -> int:
    """Verify all chains, report the result, and return the exit code. Raises StoreUnavailable."""
    heads, entries, problems = list(heads), 0, 0
    clinics = sorted({*await store.list_clinics(), *(head.clinic_id for head in heads)})
    for clinic in clinics:
        released = (await store.find_heads(clinic)).released  # before the entries, which must reach it
        verifier = ChainVerifier(service, clinic, keys, [released, *heads])
        async for entry in store.stream(clinic):
            entries += 1
            problems += _report_all(verifier.verify(entry))
        problems += _report_all(verifier.finish())
    report(f"{entries} audit lines in {len(clinics)} chains verified, {problems} problems")
    return 1 if problems else 0


def _report_all(problems: Iterable[Problem]) -> int:
    count = 0
    for problem in problems:
        report(f"{problem.clinic_id}: {problem.kind} at {problem.sequence}: {problem.detail}")
        count += 1
    return count


def _parse_head(text: str) -> Head:
    clinic_id, _, rest = text.partition(":")
    sequence, _, mac = rest.partition(":")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", sequence) or not re.fullmatch(r"[0-9a-f]{64}", mac):
        raise ValueError
    return Head(ClinicId(UUID(clinic_id)), int(sequence), mac)
