"""Which addresses a webhook may lead to."""

import pytest
from pydantic import ValidationError

from services.notify.domain.destinations import AllowedDestinations, is_public, parse_address, refusal
from services.notify.settings import Settings

NOTHING = AllowedDestinations()
REQUIRED = {"kafka_bootstrap_servers": "k:9092", "mongodb_uri": "mongodb://m"}


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.17.0.1",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_a_webhook_leads_to_no_address_inside(address: str) -> None:
    reason = refusal("https", "receiver.example", parse_address(address), NOTHING)

    assert reason is not None
    assert "WEBHOOK_ALLOW" in reason


@pytest.mark.parametrize("address", ["8.8.8.8", "192.0.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_webhook_may_lead_to_any_public_address_by_https_only(address: str) -> None:
    assert is_public(parse_address(address))
    assert refusal("https", "receiver.example", parse_address(address), NOTHING) is None
    assert refusal("http", "receiver.example", parse_address(address), NOTHING) is not None


@pytest.mark.parametrize(
    ("allowed", "host", "address", "is_allowed"),
    [
        ("10.1.0.0/16", "receiver.example", "10.1.2.3", True),
        ("10.1.0.0/16", "receiver.example", "10.2.2.3", False),
        ("10.1.0.0/16", "receiver.example", "::ffff:10.1.2.3", False),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", "127.0.0.2", False),
        (" fd00::/8 , ehr", "receiver.example", "fd00::1", True),
        ("fd00::/8, EHR", "ehr.", "172.17.0.4", True),
        ("ehr", "ehr.example", "172.17.0.4", False),
    ],
)
def test_an_operator_may_list_what_webhooks_reach(allowed: str, host: str, address: str, is_allowed: bool) -> None:
    for scheme in ("http", "https"):
        reason = refusal(scheme, host, parse_address(address), AllowedDestinations.parse(allowed))
        assert (reason is None) == is_allowed


def test_a_webhook_is_sent_by_http_and_by_nothing_else() -> None:
    everything = AllowedDestinations.parse("0.0.0.0/0")

    assert refusal("ftp", "receiver.example", parse_address("8.8.8.8"), everything) == "must begin with https"


@pytest.mark.parametrize("wrong", ["10.1.2.3/16", "10.0.0.0/40", "http://ehr", "ehr:8080", "127.1", "a b", "::1::"])
def test_a_wrong_list_is_an_error_of_the_settings(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is n"):
        Settings.model_validate({**REQUIRED, "webhook_allow": wrong})
