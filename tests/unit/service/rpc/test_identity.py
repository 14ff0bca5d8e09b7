"""Callers that are known by a certificate."""

from __future__ import annotations

import hashlib

import pytest

from channel.context import Context
from service.config import AccountsConfig, IdentityConfig, KeyConfig
from service.errors import InvalidApiKey, MissingApiKey
from service.rpc.authentication import Authenticator
from service.rpc.identity import Identities, peer_uris

KEY = "sk-1234567890abcdef"
BILLING = "spiffe://acme/billing/7"


def _identity(name, uri, **access):
    return IdentityConfig(name=name, uri=uri, **access)


def _identities(*identities):
    return Identities(identities, AccountsConfig(max_active=7))


def test_the_first_pattern_that_matches_says_who_it_is():
    known = _identities(
        _identity("seven", BILLING, account="acme", admin=True, models=["a/*"]),
        _identity("billing", "spiffe://acme/billing/*"),
        _identity("all", "spiffe://*"),
    )
    seven = known.identity([BILLING])
    assert (seven.name, seven.key_id, seven.account_id) == ("seven", "identity/seven", "acme")
    assert seven.admin
    assert seven.prepaid
    assert seven.limits.account_active == 7
    assert not seven.may_use("b/c")
    assert known.identity(["spiffe://acme/billing/8"]).name == "billing"
    assert known.identity(["spiffe://other/billing/7"]).name == "all"


def test_who_names_the_operators_account_pays_nothing_and_is_not_bounded():
    caller = _identities(_identity("ours", BILLING, account="operator")).identity([BILLING])
    assert caller == _identities(_identity("ours", BILLING)).identity([BILLING])


@pytest.mark.parametrize(
    "uri",
    ["", "spiffe://acme/billing", "spiffe://acme/billing/77", "x" + BILLING, BILLING + "\n"],
)
def test_what_no_pattern_matches_is_nobody(uri):
    assert _identities(_identity("seven", BILLING)).identity([uri]) is None


def test_no_certificate_is_nobody():
    assert _identities(_identity("all", "spiffe://*")).identity([]) is None


def _authenticator():
    key = KeyConfig(name="key", sha256=hashlib.sha256(KEY.encode()).hexdigest())
    return Authenticator([key], None, [_identity("all", "spiffe://*")])


async def test_a_known_certificate_needs_no_key():
    assert (await _authenticator().caller(None, [BILLING])).name == "all"
    with pytest.raises(MissingApiKey):
        await _authenticator().caller(None, [])


async def test_a_key_that_is_sent_too_decides_also_when_it_is_wrong():
    assert (await _authenticator().caller(f"Bearer {KEY}", [BILLING])).name == "key"
    with pytest.raises(InvalidApiKey):
        await _authenticator().caller(f"Bearer {KEY}x", [BILLING])


class _Context:
    def __init__(self, told):
        self._told = told

    def auth_context(self):
        return self._told


def test_only_what_grpc_calls_a_spiffe_id_counts():
    assert peer_uris(_Context({"peer_spiffe_id": [BILLING.encode()]})) == (BILLING,)
    assert peer_uris(_Context({"x509_subject_alternative_name": [BILLING.encode()]})) == ()
    assert peer_uris(_Context({"transport_security_type": [b"insecure"]})) == ()


def test_a_call_in_process_has_no_certificate():
    assert Context.auth_context(None) == {}
