"""The parts by which a service knows who sends a request and what it may do, built in one place."""

from collections.abc import Callable
from datetime import datetime

from shared.access.requests import Access
from shared.access.settings import AccessSettings
from shared.access.table import Service
from shared.identity.authentication import Authentication
from shared.identity.issuer import Issuer
from shared.identity.login_sessions import LoginLimits, LoginSessions
from shared.identity.machines import Machines
from shared.identity.people import People
from shared.identity.store.mongo import MongoIdentityStore
from shared.mongo.client import Mongo
from shared.staff.cache import CachedStaff
from shared.staff.store import StaffSource


class AccessControl:
    """Who asks, by the identity database and the issuer, and what the request may do, by the service's own staff.

    Nothing connects before the first request.
    """

    def __init__(
        self, service: Service, settings: AccessSettings, staff: StaffSource, clock: Callable[[], datetime]
    ) -> None:
        self._mongo = Mongo(settings.mongodb_uri, settings.identity_database, settings.mongodb_driver)
        self.store = MongoIdentityStore(self._mongo)
        self.issuer = Issuer(settings)
        self.login_sessions = LoginSessions(
            self.store, LoginLimits(settings.login_idle_limit, settings.login_max_duration), clock
        )
        self.machines = Machines(self.store, settings.oidc_issuer, clock)
        self.people = People(self.store, self.login_sessions)
        self.authentication = Authentication(self.login_sessions, self.machines, self.issuer, settings.public_url)
        self.staff = CachedStaff(staff)
        self.access = Access(service, self.authentication, self.staff, clock)

    async def create_indexes(self) -> None:
        """Create the indexes of the identity database. Idempotent. Raises StoreUnavailable."""
        await self.store.create_indexes()

    async def close(self) -> None:
        """Close the connections to the identity database and to the issuer."""
        await self.issuer.aclose()
        await self._mongo.close()
