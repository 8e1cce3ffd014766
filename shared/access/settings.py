"""The settings of a service whose requests are authorized."""

from shared.identity.settings import IdentitySettings
from shared.runtime.settings import ServiceSettings


class AccessSettings(IdentitySettings, ServiceSettings):
    """The settings of sign-in and those that every service has; each service adds its own."""
