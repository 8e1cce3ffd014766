"""`python -m tests.system.upgrade.record`: records the fixture. It runs on the code of commit 2d82b9e only.

No test runs it: it is kept to say how the fixture was made. To make another one, check out that commit, put this
folder into it, and run it there.
"""

import argparse
import asyncio
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.say import say
from deploy.local.topics import Topics
from deploy.simulation.clinic import Clinics
from deploy.simulation.ledger import Ledger
from deploy.simulation.world import World
from pymongo import AsyncMongoClient

from tests.system.upgrade import archive
from tests.system.upgrade.archive import FIXTURE, Recording
from tests.system.upgrade.recorder.crash import Crash
from tests.system.upgrade.recorder.expectations import expected
from tests.system.upgrade.recorder.export import export, rows
from tests.system.upgrade.recorder.history import NETWORK, History
from tests.system.upgrade.recorder.scripts import at_the_end, scripts
from tests.system.upgrade.recorder.system import System


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.system.upgrade.record", description=__doc__)
    asked.add_argument("--seed", type=int, default=1, help="another clinic network")
    options = asked.parse_args()
    system = System(Path(tempfile.mkdtemp(prefix="attune-record-")))
    with system.stores():
        recording = asyncio.run(record(system, options.seed))
    archive.write(recording, FIXTURE)
    say(f"{FIXTURE}: {FIXTURE.stat().st_size / 1024:.0f} kB")


async def record(system: System, seed: int) -> Recording:
    """Drive the system, kill it, and export what is left."""
    began_at, ledger = datetime.now(UTC), Ledger()
    world = World(seed, began_at, NETWORK)
    written = scripts(world.clinics[0], began_at)
    async with AsyncMongoClient(system.mongodb.address, uuidRepresentation="standard", tz_aware=True) as system.mongo:
        for name in system.urls:
            await system.start(name)
        async with Clinics(system.urls, ledger) as clinics, Topics(system.kafka.address) as topics:
            history = History(system, clinics, topics, world)
            await history.tell(written)
            crash = Crash(system, clinics, topics, world)
            ended_at = await crash.happen(written)
        await asyncio.to_thread(system.kafka.start)
        last = {poison.key for poison in crash.planted}
        clinicians = [*world.clinicians, *(at_the_end(name, script) for name, script in written.items())]
        planted = [*history.planted, *crash.planted]
        kept = rows(ledger.taken, system.mails, system.hooks, planted, clinicians)
        recording = await export(system, began_at, ended_at, kept)
        due = await expected(system, recording, written, last, ledger.taken)
        return replace(recording, expected=due.model_dump(mode="json"))


if __name__ == "__main__":
    main()
