"""The identity database, which only the services know otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from shared.identity.login_sessions import LoginLimits
from shared.identity.store.mongo import MongoIdentityStore
from shared.mongo.client import Mongo

IDENTITY_DATABASE = "attune_identity"
LIMITS = LoginLimits(idle=timedelta(minutes=30), longest=timedelta(hours=12))
"""Both are the defaults of the services."""


@asynccontextmanager
async def open_identity(mongodb_uri: str, database: str) -> AsyncIterator[MongoIdentityStore]:
    """The identity database."""
    mongo = Mongo(mongodb_uri, database, "motor")
    try:
        yield MongoIdentityStore(mongo)
    finally:
        await mongo.close()
