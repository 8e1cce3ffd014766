"""Whether each running container has only the privileges it needs, checked from outside on its processes."""

from pathlib import Path

from tests.system.containers.compose import ComposeProject
from tests.system.containers.docker import docker


def find_excess_privileges(compose: ComposeProject, name: str) -> list[str]:
    """Privileges that a container has and should not have."""
    host_config = compose.inspect(name)["HostConfig"]
    problems = [
        problem
        for problem, is_true in {
            "root file system is writable": not host_config["ReadonlyRootfs"],
            "no memory limit": not host_config["Memory"],
            "no pids limit": not host_config["PidsLimit"],
            "privileged": host_config["Privileged"],
        }.items()
        if is_true
    ]
    for pid in docker("top", compose.container_name(name), "-eo", "pid").split()[1:]:
        try:
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
            )
        except FileNotFoundError:
            continue  # a health check that has exited
        if "0" in status["Uid"].split():
            problems.append(f"{status['Name']} runs as root")
        if any(int(status[f"Cap{capability_set}"], 16) for capability_set in ("Eff", "Prm", "Bnd", "Amb")):
            problems.append(f"{status['Name']} has capabilities: {status['CapBnd']}")
        if status["NoNewPrivs"] != "1":
            problems.append(f"{status['Name']} may gain privileges")
    return problems
