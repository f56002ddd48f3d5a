"""What the tests of the session dialect stand on: an agent, sessions, the workspace from outside."""

import errno
import os
import sys

import pytest

from session_client import Failed, Session

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../mount"))
from harness import Guest  # noqa: E402


class Place:
    def __init__(self, folder):
        self.guest = Guest("unix", folder).start()
        self.top = os.fsencode(self.guest.workspace)
        self.sessions = []

    def session(self, **hello):
        self.sessions.append(Session(self.guest.socket, **hello))
        return self.sessions[-1]

    def path(self, name=b""):
        return os.path.join(self.top, os.fsencode(name))

    def put(self, name, content=b""):
        with open(self.path(name), "wb") as out:
            out.write(content)

    def get(self, name):
        with open(self.path(name), "rb") as source:
            return source.read()


def refused(number, session, name, *values, **options):
    with pytest.raises(Failed) as failed:
        session.call(name, *values, **options)
    assert errno.errorcode[failed.value.errno] == errno.errorcode[number], failed.value
    return failed.value.sentence
