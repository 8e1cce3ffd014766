"""The use cases of a clinic's staff: people, their roles and invitations, deputies, supervisors and the lead."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from services.intake.domain import invitations, staff
from services.intake.domain.invitations import InvitationNotValid, Invitee
from services.intake.domain.staff import Assignment, Decision
from services.intake.metrics import IntakeMetrics
from services.intake.service.required import require
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.events import DeputyPeriod, StaffUpdated, SupervisorPeriod
from shared.staff.cache import CachedStaff
from shared.staff.staff import ClinicStaff


@dataclass(frozen=True)
class IssuedInvitation:
    """An invitation at the moment at which it is handed out; nobody can read the token later."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class RecordedStaff:
    """The staff as intake itself recorded it, to authorize requests with."""

    store: Store

    async def find(self, clinic: ClinicId) -> ClinicStaff:
        found = await self.store.staff_records.within(clinic).get(clinic)
        return found or ClinicStaff(clinic_id=clinic)


@dataclass(frozen=True)
class StaffService:
    """The use cases of a clinic's staff. Each raises Rejected and StoreUnavailable.

    Each is idempotent, except that every invitation is a new one.
    """

    store: Store
    cached_staff: CachedStaff
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """The time, in whole milliseconds."""
    create_token: Callable[[], str]
    """256 random bits."""
    hash_token: Callable[[str], str]
    remove_account: Callable[[UUID], Awaitable[None]]
    """Takes the account from a person and ends all login sessions. Idempotent."""

    async def save_person(self, clinic: ClinicId, requested: Assignment) -> StaffUpdated:
        """Add a person to the staff, or change the roles. Raises IdTaken if another clinic uses the id."""
        await self._require_clinic(clinic)
        return await self._save_person(clinic, requested)

    async def _save_person(self, clinic: ClinicId, requested: Assignment) -> StaffUpdated:
        if requested.clinician_id is not None:
            await self._require_clinician(clinic, requested.clinician_id)
        person_id = requested.person_id
        await self.store.invitees.within(clinic).change(
            person_id, partial(invitations.add_invitee, clinic_id=clinic, person_id=person_id)
        )
        accepted = await self._list_accepted(clinic)
        changed = await self._change(clinic, lambda before, now: staff.save_person(before, requested, accepted, now))
        return next(person for person in changed.people if person.person_id == person_id)

    async def remove_person(self, clinic: ClinicId, person_id: UUID) -> None:
        """Remove a person from the staff, with the open invitation, the account and all login sessions.

        The roles end first. What a failure leaves undone afterwards, the repeated request does.
        """
        await self._require_clinic(clinic)
        accepted = await self._list_accepted(clinic)
        await self._change(clinic, lambda before, now: staff.remove_person(before, person_id, accepted, now))
        await self.store.invitees.within(clinic).change(
            person_id, lambda before: invitations.remove_invitee(_require_invitee(before))
        )
        await self.remove_account(person_id)

    async def invite(self, clinic: ClinicId, person_id: UUID) -> IssuedInvitation:
        """Invite somebody on the staff to sign in. The invitation before ends."""
        found = await RecordedStaff(self.store).find(clinic)
        staff.require_person(found, person_id)
        token = self.create_token()
        token_hash, now = self.hash_token(token), self.clock()
        change = await self.store.invitees.within(clinic).change(
            person_id, lambda before: invitations.invite(_require_invitee(before), token_hash, now)
        )
        if change.after.invitation is None:
            raise AssertionError("somebody who was just invited has an invitation")
        return IssuedInvitation(token, change.after.invitation.expires_at)

    async def invite_administrator(self, clinic: ClinicId, create_id: Callable[[], UUID]) -> IssuedInvitation:
        """Invite an administrator of a clinic, which need not be known yet, because administrators add it.

        It is the administrator who has not accepted an invitation yet, or a new one.
        """
        found, accepted = await RecordedStaff(self.store).find(clinic), await self._list_accepted(clinic)
        waiting = [person_id for person_id in staff.list_administrators(found) if person_id not in accepted]
        person_id = waiting[0] if waiting else create_id()
        if not waiting:
            await self._save_person(clinic, Assignment(person_id, ("administrator",), None))
        return await self.invite(clinic, person_id)

    async def find_invitee(self, token: str) -> Invitee:
        """The person who was invited with this link. Raises InvitationNotValid."""
        token_hash = self.hash_token(token)
        invitee = invitations.require_valid(await self.store.find_invitee(token_hash), token_hash, self.clock())
        found = await RecordedStaff(self.store).find(ClinicId(invitee.clinic_id))
        if found.person(invitee.person_id) is None:
            raise InvitationNotValid
        return invitee

    async def accept_invitation(self, token: str) -> Invitee:
        """Use a link, which works once; then an account can be bound to the person. Raises InvitationNotValid."""
        invitee, token_hash, now = await self.find_invitee(token), self.hash_token(token), self.clock()
        change = await self.store.invitees.within(ClinicId(invitee.clinic_id)).change(
            invitee.person_id, lambda before: invitations.accept(before, token_hash, now)
        )
        return change.after

    async def save_deputies(
        self, clinic: ClinicId, clinician_id: UUID, deputies: Collection[DeputyPeriod]
    ) -> tuple[DeputyPeriod, ...]:
        """Replace the deputies of a clinician."""
        await self._require_clinician(clinic, clinician_id)
        changed = await self._change(
            clinic, lambda before, now: staff.save_deputies(before, clinician_id, deputies, now)
        )
        return next(record.deputies for record in changed.deputies if record.clinician_id == clinician_id)

    async def save_supervisors(
        self, clinic: ClinicId, clinician_id: UUID, supervisors: Collection[SupervisorPeriod]
    ) -> tuple[SupervisorPeriod, ...]:
        """Replace the supervisors of a clinician."""
        await self._require_clinician(clinic, clinician_id)
        changed = await self._change(
            clinic, lambda before, now: staff.save_supervisors(before, clinician_id, supervisors, now)
        )
        return next(record.supervisors for record in changed.supervisors if record.clinician_id == clinician_id)

    async def save_lead(self, clinic: ClinicId, person_id: UUID | None) -> None:
        """Make a supervisor the lead of the clinic; None if the clinic is to have none."""
        await self._require_clinic(clinic)
        await self._change(clinic, lambda before, now: staff.save_lead(before, person_id, now))

    async def _change(self, clinic: ClinicId, decide: Callable[[ClinicStaff, datetime], Decision]) -> ClinicStaff:
        now = self.clock()
        try:
            change = await self.store.staff_records.within(clinic).change(
                clinic, lambda before: decide(before or ClinicStaff(clinic_id=clinic), now)
            )
        finally:  # also after an error: the write may have been done
            self.cached_staff.drop([clinic])
        self.metrics.count_events(change.events)
        return change.after

    async def _list_accepted(self, clinic: ClinicId) -> frozenset[UUID]:
        """The administrators who have accepted an invitation."""
        found = await RecordedStaff(self.store).find(clinic)
        invitees = [
            await self.store.invitees.within(clinic).get(person_id) for person_id in staff.list_administrators(found)
        ]
        return frozenset(invitee.person_id for invitee in invitees if invitee and invitee.accepted_at)

    async def _require_clinic(self, clinic: ClinicId) -> None:
        await require("clinic", self.store.clinics.within(clinic), clinic)

    async def _require_clinician(self, clinic: ClinicId, clinician_id: UUID) -> None:
        await require("clinician", self.store.clinicians.within(clinic), clinician_id)


def _require_invitee(invitee: Invitee | None) -> Invitee:
    if invitee is None:
        raise AssertionError("everybody on the staff has an entry among the invitees")
    return invitee
