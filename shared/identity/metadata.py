"""What the issuer publishes about itself (OpenID Connect Discovery)."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from shared.identity.errors import IssuerUnavailable

ClientAuthMethod = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True)
class IssuerMetadata:
    """The addresses of the issuer, and how Attune proves to it who it is."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    client_auth_method: ClientAuthMethod


def metadata_url(issuer: str) -> str:
    """Where an issuer publishes its metadata."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def parse_metadata(document: dict[str, Any], issuer: str) -> IssuerMetadata:
    """The metadata of `issuer`. Raises IssuerUnavailable if this is another's, or unusable."""
    if document.get("issuer") != issuer:
        raise IssuerUnavailable("the document at OIDC_ISSUER names another issuer; both must be equal to the letter")
    scheme = urlsplit(issuer).scheme
    return IssuerMetadata(
        authorization_endpoint=_require_url(document, "authorization_endpoint", scheme),
        token_endpoint=_require_url(document, "token_endpoint", scheme),
        jwks_uri=_require_url(document, "jwks_uri", scheme),
        end_session_endpoint=_find_url(document, "end_session_endpoint", scheme),
        client_auth_method=_choose_method(document.get("token_endpoint_auth_methods_supported")),
    )


def _require_url(document: dict[str, Any], name: str, scheme: str) -> str:
    if (url := _find_url(document, name, scheme)) is None:
        raise IssuerUnavailable(f"the issuer's {name} is missing, or not as secure as OIDC_ISSUER")
    return url


def _find_url(document: dict[str, Any], name: str, scheme: str) -> str | None:
    """An address that is as secure as the issuer's own, if there is one."""
    url = document.get(name)
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:  # brackets that are no IPv6 address
        return None
    return url if parts is not None and parts.scheme in (scheme, "https") and parts.hostname else None


def _choose_method(supported: object) -> ClientAuthMethod:
    """The default of OpenID Connect, if the issuer supports it."""
    if isinstance(supported, list) and "client_secret_basic" not in supported and "client_secret_post" in supported:
        return "client_secret_post"
    return "client_secret_basic"
