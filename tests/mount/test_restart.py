"""The agent is killed and started anew while the mount is used: over a session what is safe goes on, what is not
safe is told, and nothing is done twice or in the wrong order."""

import errno
import os

import pytest
from harness import fails, get, text


@pytest.fixture
def m(yard):
    mount = yard.mount(yard.guest("unix"), ["timeout=5"])
    mount.allow_output(r"box|guest")
    return mount


#
# A guest that was started anew has lost what it had not synced, perhaps
#


def test_unsynced_data_over_a_reboot(m):
    """fsync does not pretend; and once it has told, the file goes on."""
    unsynced = os.open(m.w / "unsynced", os.O_RDWR | os.O_CREAT)
    synced = os.open(m.w / "synced", os.O_RDWR | os.O_CREAT)
    os.write(unsynced, b"one")
    os.write(synced, b"one")
    os.fsync(synced)
    os.fstat(unsynced)
    assert os.pread(unsynced, 10, 0) == b"one"  # behind the write, which has been answered
    m.guest.kill()
    m.guest.reboot()
    os.fsync(synced)
    with fails(errno.EIO):
        os.fsync(unsynced)
    os.fsync(unsynced)
    os.pwrite(unsynced, b"two", 0)
    os.fsync(unsynced)
    os.close(unsynced)
    os.close(synced)
    assert (m.guest.workspace / "unsynced").read_text() == "two"


def test_close_over_a_reboot(m):
    written = os.open(m.w / "f", os.O_RDWR | os.O_CREAT)
    os.write(written, b"one")
    os.close(os.dup(written))  # as the end of a child does: what was written is in the guest now
    m.guest.kill()
    m.guest.reboot()
    assert os.listdir(m.w) == ["f"]
    with fails(errno.EIO):
        os.close(written)


def test_a_restart_is_no_reboot(m):
    written = os.open(m.w / "f", os.O_RDWR | os.O_CREAT)
    os.write(written, b"one")
    os.close(os.dup(written))
    m.guest.kill()
    m.guest.restart()
    os.fsync(written)
    os.pwrite(written, b" two", 3)
    os.close(written)
    assert get(m.w / "f") == b"one two"
    assert text(m.w / "f") == "one two"
