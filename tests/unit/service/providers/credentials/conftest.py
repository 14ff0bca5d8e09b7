"""What tests of credentials are given: a scripted cloud, and a machine without accounts."""

import pytest

from tests.unit.service.providers.credentials import clouds


@pytest.fixture
def cloud():
    with clouds.cloud_server() as cloud:
        yield cloud


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    clouds.nowhere(monkeypatch, tmp_path)
    return tmp_path
