"""`python -m evaluation.alerts`: print fifty alerts of simulated relationships, each with its truth, as Markdown.

About half of them are true. They are chosen across worlds, kinds and severities, so their shares say nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from evaluation.alerting import RIGHT_WITHIN_APPOINTMENTS, is_right
from evaluation.attune import SHIPPED_BASE_RATE, rises_of, stated_probability
from evaluation.settings import ASKED_LAWS
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.question import ask
from evaluation.simulation.settings import KINDS, RuptureKind, SimulatedWorld, SimulationSettings, load_settings
from evaluation.simulation.truth import LOOKALIKES, Relationships
from shared.clinical.openings import CATALOGUE
from shared.clinical.reliability import describe_reliability
from shared.clinical.wording import describe_evidence
from shared.events import Evidence, Severity

ALERTS, SEVERITIES = 50, ("urgent", "concern", "watch")
RELATIONSHIPS, SEED = 40, 15  # of each sample of a world
INTRODUCTION = """\
<!-- Written by `python -m evaluation.alerts`; not by hand. -->
# Fifty alerts with their truth

Each is what a clinician reads about a simulated relationship when the alert began or rose, with the ways to begin a
conversation that the inbox suggests, and then the truth. About half of them are true. They were chosen across worlds,
kinds and severities, so that their shares say nothing. The text counts sessions, the truth counts appointments, of
which some were missed. *Watch* is shown and sends no message.

An alert is **true** if the appointment by which it began or rose is in a rupture, or at most {within} after
one. Otherwise it is false, also in a relationship that has a rupture at another time.

The **kind** of a rupture says what it does to the ratings:

{kinds}

A **spread** is the standard deviation of the client's own ratings from session to session without a rupture, or the
one of its world where depth is independent of the own spread. A rupture 2.0 spreads deep lowers the ratings by about
twice that at its deepest; a *withdrawal* and a *divergence* lower them by a part of it only. The first words of each
truth name the simulated world (`evaluation/simulation/worlds.toml`)."""
KIND_DESCRIPTIONS: dict[RuptureKind, str] = {
    "v": "all ratings fall at once and recover over the next appointments",
    "step": "all ratings fall at once and stay low until it is repaired or ends",
    "slide": "all ratings fall little by little",
    "elements": "only some elements fall, the others stay as they were",
    "withdrawal": "more forms and sessions are missing, and the ratings hardly fall",
    "divergence": "the client's rating falls while the clinician's rises",
}


@dataclass(frozen=True, slots=True)
class Alert:
    world: str
    truth: str
    """What is so, in words."""
    subject: str
    """The kind of the rupture, or what makes the relationship look alarming."""
    is_true: bool
    appointment: int
    severity: Severity
    evidence: tuple[Evidence, ...]
    probability: float | None

    def __str__(self) -> str:
        verdict = "true" if self.is_true else "false"
        reliability = describe_reliability(self.evidence, self.probability, SHIPPED_BASE_RATE)
        openings = " ".join(f"“{opening}”" for opening in CATALOGUE.suggest(self.evidence))
        read = [
            *describe_evidence(self.evidence),
            *([reliability] if reliability else []),
            f"Ways to begin: {openings}",
        ]
        sentences = "\n".join(f"> {sentence}" for sentence in read)
        said = f"*{self.severity.capitalize()}* after appointment {self.appointment}, {verdict}"
        return f"{said}\n\n{sentences}\n\n{self.truth}"


def main() -> None:
    print(render(choose(list(find_alerts(load_settings())))))


def render(alerts: Sequence[Alert]) -> str:
    kinds = "\n".join(f"- *{kind}*: {description};" for kind, description in KIND_DESCRIPTIONS.items())
    introduction = INTRODUCTION.format(within=f"{RIGHT_WITHIN_APPOINTMENTS} appointments", kinds=f"{kinds[:-1]}.")
    return "\n\n".join([introduction, *(f"## {number}\n\n{alert}" for number, alert in enumerate(alerts, start=1))])


def find_alerts(simulation: SimulationSettings) -> Iterator[Alert]:
    """Alerts of every world; in every other one the direct question is asked."""
    for number, world in enumerate(simulation.worlds):
        for sample in (
            generate_ruptured(world.reported, RELATIONSHIPS, SEED),
            generate_stable(world.reported, RELATIONSHIPS, SEED),
        ):
            asked = ask(sample, simulation.question, ASKED_LAWS[0], SEED) if number % 2 else sample
            yield from _alerts_of(world, asked)


def _alerts_of(world: SimulatedWorld, relationships: Relationships) -> Iterator[Alert]:
    right = is_right(relationships)
    for row in range(len(relationships)):
        subject, truth = _truth(relationships, row)
        for t, episode in rises_of(relationships, row):
            yield Alert(
                world.title,
                f"{world.title}. {truth}",
                subject,
                bool(right[row, t]),
                t + 1,
                episode.severity,
                episode.evidence,
                stated_probability(episode),
            )


def _truth(relationships: Relationships, row: int) -> tuple[str, str]:
    truth = relationships.truth
    if truth.kind[row] < 0:
        lookalike = LOOKALIKES[truth.clients.lookalike[row]]
        return lookalike, f"A stable relationship: {lookalike}."
    kind, depth = KINDS[truth.kind[row]], truth.depth[row]
    first, last = truth.onset_session[row] + 1, truth.ruptures.end[row, 0]
    when = f"appointment {first}" if first == last else f"appointments {first} to {last}"
    return kind, f"A rupture of kind {kind}, {depth:.1f} spreads deep, in {when}."


def choose(alerts: Sequence[Alert]) -> list[Alert]:
    """Fifty of them, true and false in turn."""
    halves = [
        _choose([alert for alert in alerts if alert.is_true == is_true], ALERTS // 2) for is_true in (True, False)
    ]
    return [alert for alert in chain.from_iterable(zip_longest(*halves)) if alert]


def _choose(alerts: Sequence[Alert], count: int) -> list[Alert]:
    """Severities in turn, and of each the alert whose subject and world were chosen least."""
    chosen, left, used = list[Alert](), list(alerts), Counter[str]()
    while left and len(chosen) < count:
        severity = SEVERITIES[len(chosen) % len(SEVERITIES)]
        candidates = [alert for alert in left if alert.severity == severity] or left
        alert = min(candidates, key=lambda candidate: (used[candidate.subject], used[candidate.world]))
        used.update((alert.subject, alert.world))
        chosen.append(alert)
        left.remove(alert)
    return chosen


if __name__ == "__main__":
    main()
