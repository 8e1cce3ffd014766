"""Schemathesis sends requests that the OpenAPI document of a service permits, and some that it forbids."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.integration.conformance.prepared_services import SERVE, KnownValues, Servers
from tools.sandbox.servers.process import PROJECT_ROOT

FOLDER = Path(__file__).parent
MAX_EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "15")
"""How many requests are generated for each operation, besides those that cover each keyword of its schema."""
SEED = os.environ.get("FUZZ_SEED", "1")
"""The same in each run of the tests; `make fuzz` draws one."""


@pytest.mark.parametrize("service", SERVE)
async def test_a_service_does_what_its_openapi_document_says(
    service: str, kafka_servers: str, mongodb_uri: str, tmp_path: Path
) -> None:
    async with SERVE[service](Servers(kafka_servers, mongodb_uri)) as prepared:
        (tmp_path / "schemathesis.toml").write_text(configuration(prepared.known_values), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{prepared.ops_url}/openapi.json"),
            *("--url", prepared.url),
            *("--max-examples", MAX_EXAMPLES, "--seed", SEED),
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()


def configuration(known_values: KnownValues) -> str:
    """The common configuration, and dictionaries of the values that the service knows."""
    lines = [(FOLDER / "schemathesis.toml").read_text(encoding="utf-8")]
    for name, values in known_values.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    for name in known_values:
        for place, probability in (("path", 0.9), ("body", 0.6)):  # a body may also name what is to be made
            lines.append(f'"{place}.{name}" = {{ dictionary = "{name}", probability = {probability} }}')
    return "\n".join(lines)
