"""The bars that are about what can be known: the shares of the oracles, calibration, and urgent alerts.

A bar is replaced only if the oracle of the client, with all that Attune sees, misses it itself: if the lower end of its
interval is under the bar. Then Attune must reach the share of that oracle that the first bar asks for, 78%; it is met
by its value, as ratios are. The oracle that knows everything never replaces a bar: nothing real can know what it knows.
"""

from collections.abc import Sequence

import numpy as np

from evaluation import alerting
from evaluation.alerting import Alerts
from evaluation.attune import SHIPPED_BASE_RATE, URGENT
from evaluation.measured import Measured, Results, highest, lowest, mean, of_asking, share_of, worst
from evaluation.measures import Estimate, interval, ratio
from evaluation.oracles import ORACLE, ORACLE_OF_CLIENT, ORACLE_OF_CLIENT_WITH_BEHAVIOUR
from evaluation.settings import ASKED_LAWS
from evaluation.trial import ATTUNE, BASE_RATES, WorldTrial, asked

SHARE_OF_ORACLE = 0.78  # that the first bar asks for, and each that is replaced
BRIER_SKILL = 0.15
URGENT_BASE_RATE, URGENT_PRECISION, URGENT_REACH = SHIPPED_BASE_RATE, 0.40, 0.50
ORACLE_THRESHOLDS = tuple(np.arange(0.10, 0.96, 0.02).round(2).tolist())  # that the oracle may choose from
_EVEN_SO = "Even an observer who knew every client perfectly, and saw all that Attune sees, would not surely"


def is_beyond(of_oracle: Estimate, floor: float) -> bool:
    """Whether the oracle of the client may miss a bar itself."""
    return interval(of_oracle)[0] < floor


def oracle_share(results: Results) -> list[Measured]:
    return _shares(results, ATTUNE, ORACLE_OF_CLIENT, "oracle", "All signals, share of the oracle", SHARE_OF_ORACLE)


def oracle_share_asked(results: Results) -> list[Measured]:
    measured = []
    for law in ASKED_LAWS:
        statement = f"With the question, {of_asking(law)}, share of the oracle"
        of_client = asked(ORACLE_OF_CLIENT_WITH_BEHAVIOUR, law)
        measured += _shares(results, asked(ATTUNE, law), of_client, f"oracle-{law}", statement, 0.95)
    return measured


def _shares(results: Results, method: str, of_client: str, key: str, statement: str, floor: float) -> list[Measured]:
    """The share of the oracle that knows everything, with its bar, and that of the oracle of the client."""

    def share(name: str, other: str) -> Estimate:
        return share_of(results.trials, name, other, lambda trial: trial.is_whole)

    of_oracle = float(share(of_client, ORACLE)[0])
    reach = "beyond" if of_oracle < floor else "within"
    note = f"{reach} the reach of the oracle of the client: {100 * of_oracle:.0f}%"
    return [
        Measured(key, f"{statement} that knows everything", share(method, ORACLE), floor=floor, note=note),
        Measured(f"{key}-client", f"{statement} of the client", share(method, of_client)),
    ]


def calibration(results: Results) -> list[Measured]:
    return [
        measured for base_rate in BASE_RATES for measured in (*_brier(results, base_rate), *_bins(results, base_rate))
    ]


def _brier(results: Results, base_rate: float) -> list[Measured]:
    """The lowest Brier skill where the bar stands, and the lowest share of the oracle where it was replaced."""
    keys = {
        f"{world}, {of_asking(asking)}": (world, asking, rate)
        for world, asking, rate in results.reliabilities
        if rate == base_rate
    }
    skills = {name: results.reliabilities[key].brier_skill for name, key in keys.items()}
    of_oracle = {name: results.skills[key][ORACLE_OF_CLIENT_WITH_BEHAVIOUR] for name, key in keys.items()}
    shares = {name: ratio(results.skills[key][ATTUNE], of_oracle[name]) for name, key in keys.items()}
    beyond = [name for name in keys if is_beyond(of_oracle[name], BRIER_SKILL)]
    statement = f"Brier skill at a base rate of {100 * base_rate:.0f}%"
    measured = []
    if stands := {name: skill for name, skill in skills.items() if name not in beyond}:
        name, skill = worst(stands, lowest)
        of_worst = f"{name}; the oracle of the client: {of_oracle[name][0]:.2f}"
        whole = f"{statement}: lowest world and way of asking"
        measured.append(Measured(f"brier-{base_rate}", whole, skill, floor=BRIER_SKILL, unit="skill", note=of_worst))
        name, share = worst({name: shares[name] for name in stands}, lowest)
        whole = f"{statement}, share of the oracle of the client: lowest"
        measured.append(Measured(f"brier-share-{base_rate}", whole, share, unit="times", note=name))
    if beyond:
        name, share = worst({name: shares[name] for name in beyond}, lowest)
        measured.append(
            Measured(
                f"brier-replaced-{base_rate}",
                f"{statement}, share of the oracle of the client where the bar was replaced: lowest",
                share,
                floor=SHARE_OF_ORACLE,
                unit="times",
                note=f"{name}; its skill: {skills[name][0]:.2f}, the oracle's: {of_oracle[name][0]:.2f}",
                replaced=_brier_replaced(base_rate, beyond),
            )
        )
    return measured


def _bins(results: Results, base_rate: float) -> list[Measured]:
    gaps = {
        f"{world}, {of_asking(asking)}": gap
        for (world, asking, rate), reliability in results.reliabilities.items()
        if rate == base_rate and (gap := reliability.worst_gap) is not None
    }
    if not gaps:
        return []
    name, gap = worst(gaps, highest)
    where = f"at a base rate of {100 * base_rate:.0f}%"
    statement = f"What is said above .5, and what is so, {where}: largest distance"
    return [Measured(f"bins-{base_rate}", statement, gap, ceiling=0.10, unit="points", note=name)]


def urgent(results: Results) -> list[Measured]:
    measured = []
    for law in ASKED_LAWS:
        alerts = [alerting.alerts_of(trial, law, URGENT) for trial in results.trials]
        _, of_oracle = oracle_urgent(results, law)
        few = [of_trial.first(len(of.stable)) for of_trial, of in zip(alerts, of_oracle, strict=True)]
        reach_of_oracle = _reach(results.trials, of_oracle)
        share, beyond = ratio(_reach(results.trials, few), reach_of_oracle), is_beyond(reach_of_oracle, URGENT_REACH)
        statement = f"Urgent at a {100 * URGENT_BASE_RATE:.0f}% base rate, {of_asking(law)}"
        deep = f"{statement}: ruptures of 3 spreads or more reached"
        measured += [
            Measured(
                f"urgent-right-{law}",
                f"{statement}: precision",
                urgent_precision(results.trials, alerts),
                floor=URGENT_PRECISION,
            ),
            Measured(
                f"urgent-deep-{law}",
                deep,
                _reach(results.trials, alerts),
                floor=-np.inf if beyond else URGENT_REACH,
                note=f"the oracle of the client, where {100 * URGENT_PRECISION:.0f}% of its alerts are right: "
                f"{100 * reach_of_oracle[0]:.0f}%",
            ),
            Measured(
                f"urgent-deep-share-{law}",
                f"{deep}, share of the oracle of the client",
                share,
                floor=SHARE_OF_ORACLE if beyond else -np.inf,
                unit="times",
                replaced=_urgent_replaced(law) if beyond else "",
            ),
        ]
    return measured


def oracle_urgent(results: Results, law: str) -> tuple[float, list[Alerts]]:
    """The lowest threshold at which enough alerts of the oracle of the client are right, and its alerts then.

    If they never are, the threshold at which most are.
    """
    by_threshold = dict[float, tuple[float, list[Alerts]]]()
    for threshold in ORACLE_THRESHOLDS:
        alerts = [
            alerting.oracle_alerts_at(
                trial.posteriors[ORACLE_OF_CLIENT_WITH_BEHAVIOUR, law, URGENT_BASE_RATE], threshold
            )
            for trial in results.trials
        ]
        right = float(np.nan_to_num(urgent_precision(results.trials, alerts)[0]))
        by_threshold[threshold] = right, alerts
        if right >= URGENT_PRECISION:
            return threshold, alerts
    threshold = max(by_threshold, key=lambda tried: by_threshold[tried][0])
    return threshold, by_threshold[threshold][1]


def urgent_precision(trials: Sequence[WorldTrial], alerts: Sequence[Alerts]) -> Estimate:
    return mean(alerting.precision(*of_trial, URGENT_BASE_RATE) for of_trial in zip(trials, alerts, strict=True))


def _reach(trials: Sequence[WorldTrial], alerts: Sequence[Alerts]) -> Estimate:
    return mean(alerting.share_of_deep_reached(*of_trial) for of_trial in zip(trials, alerts, strict=True))


def _brier_replaced(base_rate: float, beyond: Sequence[str]) -> str:
    return (
        f"Probabilities that are clearly better than always saying the average (a Brier skill of {BRIER_SKILL}, where "
        f"{100 * base_rate:.0f} of 100 relationships have a rupture) cannot be asked for everywhere. "
        f"{_EVEN_SO} reach this in: {'; '.join(beyond)}. There, Attune must reach "
        f"{100 * SHARE_OF_ORACLE:.0f}% of that observer's skill."
    )


def _urgent_replaced(law: str) -> str:
    return (
        f"With {of_asking(law)}, it cannot be asked for that half of the deep ruptures are urgent within two sessions. "
        f"{_EVEN_SO} reach half of them, if {100 * URGENT_PRECISION:.0f} of 100 urgent alerts have to be "
        f"right. Attune must reach {100 * SHARE_OF_ORACLE:.0f}% of what that observer reaches."
    )
