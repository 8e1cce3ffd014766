"""`invite-administrator`: how the first administrator of a clinic gets in."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from services.intake.app import create_staff_service
from services.intake.domain.invitations import INVITATION_VALIDITY
from services.intake.metrics import IntakeMetrics
from services.intake.settings import Settings
from services.intake.store.mongo import STAFF_RECORDS, MongoStore
from shared.access.clinic_id import ClinicId
from shared.errors import Rejected, StoreUnavailable
from shared.kafka.producer import Message
from shared.mongo.client import Mongo
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import Outbox
from shared.runtime.clock import now
from shared.runtime.commands import Subparsers

COMMAND_NAME = "invite-administrator"


def add_command(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        COMMAND_NAME,
        help="print a link with which an administrator of a clinic can sign in for the first time",
        description="Prints a link that works once, for "
        f"{INVITATION_VALIDITY.days} days. Hand it over in person or in a confidential message: it opens the settings "
        "of the clinic. As long as it is not used, the next call ends it and prints another one.",
    )
    parser.add_argument("clinic_id", type=UUID, help="the clinic's id; it is new if the clinic is not known yet")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the link. No log contains it."""
    try:
        token = asyncio.run(_invite_administrator(settings, ClinicId(args.clinic_id)))
    except (Rejected, StoreUnavailable) as error:
        sys.stderr.write(f"{COMMAND_NAME}: {error}\n")
        return 1
    sys.stdout.write(f"{settings.public_url}/invitations/{token}\n")
    return 0


async def _invite_administrator(settings: Settings, clinic: ClinicId) -> str:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver)
    registry = CollectorRegistry()
    # It does not run: the relay of the service publishes what is pending in the documents.
    outbox = Outbox(_send_nothing, [mongo[STAFF_RECORDS]], OutboxMetrics(registry), now)
    service = create_staff_service(MongoStore(mongo, outbox, now), IntakeMetrics(registry))
    try:
        return (await service.invite_administrator(clinic, uuid4)).token
    finally:
        await mongo.close()


async def _send_nothing(_messages: Sequence[Message]) -> None:
    """Never called."""
