import shutil
import tempfile

import pytest

from session_place import Place


def pytest_configure(config):
    config.addinivalue_line("markers", "options(option...): the peer's options")


@pytest.fixture
def place():
    folder = tempfile.mkdtemp(prefix="sd-", dir="/tmp")
    here = Place(folder)
    try:
        yield here
        for session in here.sessions:
            session.close()
        here.guest.check()
    finally:
        here.guest.stop()
        shutil.rmtree(folder)


@pytest.fixture
def s(place):
    return place.session()
