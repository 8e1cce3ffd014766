"""Runs everything that the bars and the report are about."""

import sys

from evaluation.adaptation import run_repeats
from evaluation.long_run import run_long
from evaluation.measured import Results
from evaluation.reliability import measure_reliability, measure_skills
from evaluation.settings import ASKINGS, RunSettings
from evaluation.simulation.settings import SimulationSettings
from evaluation.trial import BASE_RATES, run_trial


def run_everything(simulation: SimulationSettings, run: RunSettings) -> Results:
    """Evaluate every world; the progress is printed on stderr."""
    worlds = tuple(world for world in simulation.worlds if run.worlds is None or world.name in run.worlds)
    trials, long_runs = [], []
    for number, world in enumerate(worlds, start=1):
        print(f"{number} of {len(worlds)}: {world.title}", file=sys.stderr, flush=True)
        trials.append(run_trial(world, simulation.question, run))
        long_runs.append(run_long(world, simulation.long, run))
    keys = [(trial, asking, base_rate) for trial in trials for base_rate in BASE_RATES for asking in ASKINGS]
    reliabilities = {(key[0].world.title, *key[1:]): measure_reliability(*key) for key in keys}
    skills = {(key[0].world.title, *key[1:]): measure_skills(*key) for key in keys}
    print("adaptation", file=sys.stderr, flush=True)
    return Results(trials, long_runs, reliabilities, run_repeats(worlds, run), run.resamples, run.seed, skills)
