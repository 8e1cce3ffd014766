"""Where the microseconds of one event go: samples of what a process was doing, by stage and as a flame graph."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

STAGE_MARKS = {
    # The first that is found anywhere in a stack is what it was doing.
    "metrics": ("prometheus_client/", "kafka/metrics.py", "alliance/metrics.py"),
    "what follows": ("domain/news.py",),
    "fold": ("domain/fold.py",),
    "state from JSON": ("as_kept (",),
    "state to JSON": ("as_document (",),
    "decode and validate": ("decode (shared/events/cloudevents.py", "Consumer._read ("),
    "encode": ("encode (shared/events/cloudevents.py", "_message (shared/kafka/producer.py"),
    "commit": ("Consumer._commit (",),
    "publish": ("kafka/producer.py", "aiokafka/producer/"),
    "write and read, the driver of MongoDB": ("pymongo/", "motor/", "bson/", "motor_asyncio"),
    "hear: which facts, which states": ("alliance/hear.py", "alliance/store.py"),
    "poll": ("aiokafka/consumer/", "aiokafka/record/", "get_msg ("),
    "aiokafka, the rest": ("aiokafka/",),
    "faststream": ("faststream/", "fast_depends/"),
}
OTHER_STAGE = "the event loop and the rest"
IDLE_FRAME = re.compile(
    r"(\w+\.)?(PeriodicExecutor\._run|receive_data|recv_into|Queue\.get|Condition\.wait|_worker|select"
    r"|WorkerThread\.run) ?\("
)
WIDTH_PIXELS, ROW_PIXELS = 1_200, 16  # of the picture, in pixels
MIN_SHARE = 0.002  # of the width; below that nobody sees anything

Stacks = Mapping[tuple[str, ...], int]


def parse_stacks(path: Path) -> Stacks:
    """What py-spy saw, without line numbers, waiting and importing."""
    samples: Counter[tuple[str, ...]] = Counter()
    for line in path.read_text().splitlines():
        stack, _, sample_count = line.rpartition(" ")
        frames = tuple(re.sub(r":\d+\)", ")", frame) for frame in stack.split(";"))
        if not IDLE_FRAME.match(frames[-1]) and "importlib" not in stack:
            samples[frames] += int(sample_count)
    return samples


def stage_shares(stacks: Stacks) -> dict[str, float]:
    """Of each stage, the largest first."""
    by_stage: Counter[str] = Counter()
    for stack, sample_count in stacks.items():
        by_stage[_stage(";".join(stack))] += sample_count
    total = by_stage.total()
    return {stage: sample_count / total for stage, sample_count in by_stage.most_common()}


def _stage(stack: str) -> str:
    return next((stage for stage, marks in STAGE_MARKS.items() if any(mark in stack for mark in marks)), OTHER_STAGE)


def draw_flame_graph(stacks: Stacks, path: Path) -> None:
    """A flame graph: what calls stands below what it calls, as wide as its share of the time."""
    boxes = list(_boxes(stacks, 0.0, 0, sum(stacks.values())))
    height = ROW_PIXELS * (2 + max(depth for _, _, depth, _ in boxes))
    style = 'font-family="monospace" font-size="10"'
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PIXELS} {height}" {style}>']
    for name, left, depth, width in boxes:
        x, y, width_pixels = WIDTH_PIXELS * left, height - ROW_PIXELS * (depth + 1), WIDTH_PIXELS * width
        hue = 20 + sum(name.encode()) % 40
        label = escape(name.partition(" (")[0][: int(width_pixels / 6.2)]) if width_pixels > 25 else ""
        svg.append(
            f"<g><title>{escape(name)} {100 * width:.1f}%</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{max(width_pixels - 0.5, 0.2):.1f}" height="15" fill="hsl({hue},80%,65%)"/>'
            f'<text x="{x + 2:.1f}" y="{y + 11}">{label}</text></g>'
        )
    path.write_text("\n".join([*svg, "</svg>\n"]))


def _boxes(stacks: Stacks, left: float, depth: int, total: int) -> Iterator[tuple[str, float, int, float]]:
    """Name, left edge, depth and width of each, the last three as shares."""
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
