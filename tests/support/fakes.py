"""Small stand-ins for pure tests; the suite that says what a store is holds them to the same promises."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.dispositions import Judgement
from services.alliance.store.mongo import Kept


class AllianceStore:
    """Remembers in memory."""

    def __init__(self) -> None:
        self.facts: dict[UUID, Fact] = {}
        self.kept: dict[UUID, Kept] = {}
        self.judged: dict[UUID, Judgement] = {}

    async def remember(self, facts: Sequence[Fact]) -> None:
        for event in facts:
            self.facts.setdefault(event.id, event)

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        return {relationship: self.kept.get(relationship) or Kept(relationship) for relationship in relationships}

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
        return {
            relationship: [event for event in self.facts.values() if event.relationship_id == relationship]
            for relationship in relationships
        }

    async def keep(self, states: Sequence[Kept]) -> set[UUID]:
        conflicts = {state.relationship for state in states if self._version(state.relationship) != state.version - 1}
        self.kept.update({state.relationship: state for state in states if state.relationship not in conflicts})
        return conflicts

    async def forget(self, erasures: Mapping[UUID, UUID]) -> None:
        final_event_ids = erasures.values()
        self.facts = {
            event_id: event
            for event_id, event in self.facts.items()
            if event.relationship_id not in erasures or event_id in final_event_ids
        }
        self.judged = {
            event_id: disposition
            for event_id, disposition in self.judged.items()
            if disposition.relationship not in erasures
        }

    async def caseload(self, by: str, whose: UUID, most: int) -> list[Kept]:
        attribute = {"clinic": "clinic_id", "clinician": "clinician_id"}[by]
        return [state for state in self.kept.values() if getattr(state.alliance, attribute) == whose][:most]

    async def judge(self, dispositions: Sequence[Judgement]) -> list[Judgement]:
        new = list({candidate.id: candidate for candidate in dispositions if candidate.id not in self.judged}.values())
        self.judged.update({disposition.id: disposition for disposition in new})
        return new

    async def judgements(self, relationships: Collection[UUID]) -> list[Judgement]:
        return [disposition for disposition in self.judged.values() if disposition.relationship in relationships]

    async def count(self, clinic: UUID | None) -> int:
        return len(self._theirs(clinic))

    async def page(self, clinic: UUID | None, after: UUID | None, most: int) -> list[UUID]:
        return [relationship for relationship in sorted(self._theirs(clinic)) if after is None or relationship > after][
            :most
        ]

    def _theirs(self, clinic: UUID | None) -> list[UUID]:
        return [
            relationship
            for relationship, state in self.kept.items()
            if clinic is None or state.alliance.clinic_id == clinic
        ]

    def _version(self, relationship: UUID) -> int:
        state = self.kept.get(relationship)
        return state.version if state else 0
