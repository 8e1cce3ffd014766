"""Whether each running container may no more than its work, looked at from outside: at its processes themselves."""

from pathlib import Path

from tests.system.containers.compose import Compose
from tests.system.containers.docker import docker


def too_free(compose: Compose, name: str) -> list[str]:
    """What a container may that it should not."""
    host = compose.inspect(name)["HostConfig"]
    found = [
        what
        for what, so in {
            "its root file system is not read-only": not host["ReadonlyRootfs"],
            "no limit of memory": not host["Memory"],
            "no limit of processes": not host["PidsLimit"],
            "privileged": host["Privileged"],
        }.items()
        if so
    ]
    for pid in docker("top", compose.container(name), "-eo", "pid").split()[1:]:
        try:
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
            )
        except FileNotFoundError:
            continue  # a healthcheck that has ended
        if "0" in status["Uid"].split():
            found.append(f"{status['Name']} runs as root")
        if any(int(status[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Bnd", "Amb")):
            found.append(f"{status['Name']} has capabilities: {status['CapBnd']}")
        if status["NoNewPrivs"] != "1":
            found.append(f"{status['Name']} may gain privileges")
    return found
