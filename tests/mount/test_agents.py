"""Agents that give less than the bundled one: what they do not have is an error that says so, what they have no
room for comes later, and nobody hangs on it."""

import errno
import os
import subprocess

import pytest
from harness import fails, get, keyed, put, text, wait_until
from session_agent import SmallAgent
from session_client import Failed, Session


@pytest.fixture
def small(yard):
    """A mount of an agent that tells attributes and lists directories, and no more."""
    workspace = yard.folder / "small"
    (workspace / "d").mkdir(parents=True)
    (workspace / "f").write_bytes(b"contents")
    (workspace / "d/g").write_bytes(b"")
    (workspace / "l").symlink_to("f")
    agent = SmallAgent(yard.folder / "small.sock", workspace)
    agent.kind, agent.address = "small", f"unix:{yard.folder}/small.sock"
    yard.at_end(agent.stop)
    mount = yard.mount(agent)
    mount.agent = agent
    return mount


def test_a_small_agent_shows_what_it_has(small):
    assert keyed(small.g / "status")["dialect"] == "session/1"
    assert sorted(os.listdir(small.w)) == ["d", "f", "l"]
    assert os.listdir(small.w / "d") == ["g"]
    assert os.stat(small.w / "f").st_size == 8
    assert os.lstat(small.w / "l").st_size == 1
    with fails(errno.ENOENT):
        os.stat(small.w / "none")


def test_a_small_agent_refuses_the_rest(small):
    w, g = small.w, small.g
    for step in (lambda: get(w / "f"), lambda: put(w / "f", "x"), lambda: put(w / "new", "x"),
                 lambda: os.mkdir(w / "m"), lambda: os.rmdir(w / "d"), lambda: os.unlink(w / "f"),
                 lambda: os.rename(w / "f", w / "h"), lambda: os.link(w / "f", w / "h"),
                 lambda: os.symlink("f", w / "h"), lambda: os.mkfifo(w / "h"),
                 lambda: os.chmod(w / "f", 0o600), lambda: os.truncate(w / "f", 0),
                 lambda: os.utime(w / "f"), lambda: os.statvfs(w),
                 lambda: os.mkdir(g / "services/s")):
        with fails(errno.EOPNOTSUPP):
            step()
    for kind, verb in (("exec", "run true"), ("shells", "open")):
        os.mkdir(g / kind / "x")
        with fails(errno.EOPNOTSUPP):
            put(g / kind / "x/ctl", verb + "\n")
        assert "this is a small agent" in text(g / kind / "x/error")
    assert os.listdir(g / "services") == []
    assert sorted(os.listdir(w)) == ["d", "f", "l"]
    assert None not in small.agent.asked  # no operation that the description does not have


def test_input_waits_until_the_agent_has_room(yard):
    """Others upload as much at once as it takes: a command's input comes when one of them is done."""
    guest = yard.guest("unix")
    m = yard.mount(guest)
    other = Session(guest.socket)
    uploads = []
    while not uploads or uploads[-1].answer is None:
        uploads.append(other.start("IMPORT", ""))
        other.call("STATFS")
    with pytest.raises(Failed) as failed:
        other.result(uploads.pop())
    assert failed.value.errno == errno.EAGAIN
    os.mkdir(m.g / "exec/x")
    put(m.g / "exec/x/stdin", "input")
    before = int(keyed(m.g / "status")["requests"])
    with subprocess.Popen(["tee", m.g / "exec/x/ctl"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as writer:
        writer.stdin.write(b"run wc -c\n")
        writer.stdin.close()
        # Its start, and its input more than once.
        wait_until(lambda: int(keyed(m.g / "status")["requests"]) >= before + 4 or
                   writer.poll() is not None, "its input is refused, and tried again")
        assert writer.poll() is None
        other.cancel(uploads[0])
        other.until(lambda: uploads[0].answer)
        assert writer.wait(20) == 0
    assert text(m.g / "exec/x/stdout") == "5\n"
    other.close()
