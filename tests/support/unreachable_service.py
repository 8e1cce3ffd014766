"""A service whose stores are unreachable: enough for what is decided before they are asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from shared.http.ops import ops_app
from tools.contracts.documents import create_application


@asynccontextmanager
async def open_service(service: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of its API."""
    transport = httpx2.ASGITransport(create_application(service), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@asynccontextmanager
async def open_ops(service: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of its ops listener."""
    transport = httpx2.ASGITransport(ops_app(create_application(service)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
