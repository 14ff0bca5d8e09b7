"""What tests of images are given: a host outside, and fetchers that may reach it."""

import pytest

from service.config import ImagesConfig
from service.providers.images import ImageFetcher
from tests.unit.service.providers.images.image_host import (
    INSIDE,
    OUTSIDE,
    ImageHost,
    Names,
    certify,
)


@pytest.fixture(scope="session")
def contexts(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def host(contexts):
    async with ImageHost(contexts[0]) as host:
        yield host


@pytest.fixture
async def fetcher(contexts):
    """A maker of fetchers. The name images.test leads outside, and inside.test does not."""
    made = []

    def make(resolver=None, **config):
        made.append(
            ImageFetcher(
                ImagesConfig(**config),
                may_reach=lambda address: address == OUTSIDE,
                resolver=resolver or Names(images_test=[[OUTSIDE]], inside_test=[[INSIDE]]),
                tls=contexts[1],
            )
        )
        return made[-1]

    yield make
    for one in made:
        await one.close()
