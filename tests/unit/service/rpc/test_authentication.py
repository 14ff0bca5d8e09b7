"""Who may call: keys known by their hashes."""

import hashlib

import pytest

from service.accounts.caller import Caller
from service.accounts.directory import AccountInfo
from service.config import KeyConfig
from service.errors import InvalidApiKey, MissingApiKey
from service.rpc.authentication import Authenticator

KEY = "a-key-set-by-hand-1"


def _authenticator(*models):
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return Authenticator([KeyConfig(name="demo", sha256=digest, models=models or ("*",))])


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_the_holder_of_a_key_is_known(scheme):
    assert (await _authenticator().caller(scheme + KEY)).name == "demo"


class _Directory:
    """Knows that accounts pay in advance."""

    async def account(self, account_id):
        return AccountInfo(account_id, prepaid=True, max_active=3)


async def test_who_calls_is_known_at_once_unless_the_store_says_more_of_its_account():
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    for account, waits in ((None, False), ("operator", False), ("acme", True)):
        key = KeyConfig(name="demo", sha256=digest, account=account)
        authenticator = Authenticator([key], directory=_Directory())
        found = authenticator.look_up(f"Bearer {KEY}")
        assert isinstance(found, Caller) is not waits
        caller = await found if waits else found
        assert (caller.prepaid, caller.limits.account_active) == (
            (True, 3) if waits else (False, None)
        )


@pytest.mark.parametrize("header", [None, ""])
async def test_no_key_is_not_the_same_as_a_wrong_key(header):
    with pytest.raises(MissingApiKey):
        await _authenticator().caller(header)


@pytest.mark.parametrize(
    "header",
    [
        KEY,
        f"Basic {KEY}",
        "Bearer",
        "Bearer ",
        "Bearer short",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}\x01",
        "Bearer " + "k" * 10_000,
        "Bearer kéy-kéy-kéy-kéy-kéy",
    ],
)
async def test_a_key_that_is_wrong_in_any_way_is_invalid_and_not_repeated(header):
    with pytest.raises(InvalidApiKey) as raised:
        await _authenticator().caller(header)
    assert str(raised.value) == "Invalid API key"


@pytest.mark.parametrize(
    ("globs", "model", "may"),
    [
        (["*"], "zai-org/glm-5", True),
        (["zai-org/*"], "zai-org/glm-5", True),
        (["zai-org/*"], "other/glm-5", False),
        (["zai-org/glm-5"], "zai-org/glm-50", False),
        (["a", "b*"], "bb", True),
        (["a", "b*"], "ab", False),
    ],
)
async def test_a_key_may_use_the_models_it_lists(globs, model, may):
    assert (await _authenticator(*globs).caller(f"Bearer {KEY}")).may_use(model) is may
