"""What several generations have open is closed once, by the last of them."""

from service.providers.shared import Shared


async def test_the_last_to_let_go_closes():
    closed = []

    async def close():
        closed.append(True)

    shared = Shared("it", close)
    assert shared.share() is shared
    assert shared.it == "it"
    await shared.release()
    assert not closed
    await shared.release()
    assert closed == [True]
