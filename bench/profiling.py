"""Samples of what a process was doing, by stage and as a flame graph."""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.runner import REPOSITORY
from services.alliance import metrics as alliance_metrics
from services.alliance.domain import derived_events, fold
from services.alliance.handlers import projector
from services.alliance.store import mongo as mongo_store
from shared.events import cloudevents
from shared.kafka import metrics as kafka_metrics
from shared.kafka import producer
from shared.kafka.consumer import Consumer
from shared.kafka.subscriber import CommittingSubscriber


def _module(module: ModuleType) -> str:
    """The path of a module as py-spy shows it."""
    return Path(inspect.getfile(module)).relative_to(REPOSITORY).as_posix()


def _function(function: Callable[..., Any]) -> str:
    """The frame of a function as py-spy shows it, without the line number."""
    function = inspect.unwrap(function)
    return f"{function.__qualname__} ({Path(inspect.getfile(function)).relative_to(REPOSITORY).as_posix()})"


# The first stage with a mark anywhere in a stack is what the process was doing. Our own code is marked by the code
# itself and not by its name as text, so that a rename cannot leave a stage without a match.
STAGE_MARKS = {
    "metrics": ("prometheus_client/", _module(kafka_metrics), _module(alliance_metrics)),
    "derive events": (_module(derived_events),),
    "fold": (_module(fold),),
    "state from JSON": (_function(mongo_store.from_document),),
    "state to JSON": (_function(mongo_store.to_document),),
    "decode and validate": (_function(cloudevents.decode), _function(Consumer._decode)),
    "encode": (_function(cloudevents.encode), _function(producer.event_message)),
    "commit": (_function(CommittingSubscriber.commit),),
    "publish": (_module(producer), "aiokafka/producer/"),
    "MongoDB driver": ("pymongo/", "motor/", "bson/", "motor_asyncio"),
    "projector and store": (_module(projector), _module(mongo_store)),
    "poll": ("aiokafka/consumer/", "aiokafka/record/", "get_msg ("),
    "aiokafka, other": ("aiokafka/",),
    "faststream": ("faststream/", "fast_depends/"),
}
OTHER_STAGE = "event loop and other"
IDLE_FRAME = re.compile(
    r"(\w+\.)?(PeriodicExecutor\._run|receive_data|recv_into|Queue\.get|Condition\.wait|_worker|select"
    r"|WorkerThread\.run) ?\("
)
WIDTH_PIXELS, ROW_PIXELS = 1_200, 16
MIN_SHARE = 0.002  # of the width; narrower boxes are invisible

Stacks = Mapping[tuple[str, ...], int]


def parse_stacks(path: Path) -> Stacks:
    """Read py-spy's samples, without line numbers and without those taken while waiting or importing."""
    samples: Counter[tuple[str, ...]] = Counter()
    for line in path.read_text().splitlines():
        stack, _, sample_count = line.rpartition(" ")
        frames = tuple(re.sub(r":\d+\)", ")", frame) for frame in stack.split(";"))
        if not IDLE_FRAME.match(frames[-1]) and "importlib" not in stack:
            samples[frames] += int(sample_count)
    return samples


def stage_shares(stacks: Stacks) -> dict[str, float]:
    """The share of each stage that has samples, the largest first."""
    by_stage: Counter[str] = Counter()
    for stack, sample_count in stacks.items():
        by_stage[_stage(";".join(stack))] += sample_count
    total = by_stage.total()
    return {stage: sample_count / total for stage, sample_count in by_stage.most_common()}


def _stage(stack: str) -> str:
    return next((stage for stage, marks in STAGE_MARKS.items() if any(mark in stack for mark in marks)), OTHER_STAGE)


def draw_flame_graph(stacks: Stacks, path: Path) -> None:
    """Draw a flame graph: each caller is below what it calls, and as wide as its share of the time."""
    boxes = list(_boxes(stacks, 0.0, 0, sum(stacks.values())))
    height = ROW_PIXELS * (2 + max(depth for _, _, depth, _ in boxes))
    style = 'font-family="monospace" font-size="10"'
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PIXELS} {height}" {style}>']
    for name, left, depth, width in boxes:
        x, y, width_pixels = WIDTH_PIXELS * left, height - ROW_PIXELS * (depth + 1), WIDTH_PIXELS * width
        colour = f"hsl({20 + sum(name.encode()) % 40},80%,65%)"
        label = escape(name.partition(" (")[0][: int(width_pixels / 6.2)]) if width_pixels > 25 else ""
        svg.append(
            f"<g><title>{escape(name)} {100 * width:.1f}%</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{max(width_pixels - 0.5, 0.2):.1f}" height="15" fill="{colour}"/>'
            f'<text x="{x + 2:.1f}" y="{y + 11}">{label}</text></g>'
        )
    path.write_text("\n".join([*svg, "</svg>\n"]))


def _boxes(stacks: Stacks, left: float, depth: int, total: int) -> Iterator[tuple[str, float, int, float]]:
    """Name, left edge, depth and width of each box; edge and width are shares of the picture's width."""
    calls_by_name: dict[str, Counter[tuple[str, ...]]] = {}
    for (name, *rest), sample_count in stacks.items():
        calls_by_name.setdefault(name, Counter())[tuple(rest)] += sample_count
    for name, calls in sorted(calls_by_name.items()):
        width = calls.total() / total
        if width >= MIN_SHARE:
            yield name, left, depth, width
            yield from _boxes(
                {rest: sample_count for rest, sample_count in calls.items() if rest}, left, depth + 1, total
            )
        left += width
