"""Bad input, guests that fail, callers that leave: what the user sees, and that nothing else suffers.

That the reference peer stays alive and nothing is left in the guest is asserted at every
test's end (harness.Guest.check).
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from harness import (ENV, PATIENCE, PEER, Process, binary, fails, get, is_mounted, keyed, put, text,
                     wait_until)

SOON = 3  # seconds within which a killed caller has to be gone


def ctl(path, *lines):
    put(path / "ctl", "".join(line + "\n" for line in lines))


#
# At the mount: one line, the cause and what to do
#


@pytest.fixture
def point(yard):
    path = yard.folder / "mnt"
    path.mkdir()
    return path


def refused(source, point, timeout=1):
    """Mounts, in vain: the one line on stderr, which names the source, without "vsockfs: "."""
    done = subprocess.run([binary("vsockfs"), "-o", f"timeout={timeout}", f"box={source}",
                           str(point)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, env=ENV, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done
    assert len(lines) == 1 and lines[0].startswith("vsockfs: "), done.stderr
    assert lines[0].isprintable(), repr(lines[0])
    assert not is_mounted(point)
    assert "box" in lines[0] or source.split(":")[1] in lines[0], \
        f"which of several sources was it? {lines[0]}"
    return lines[0].removeprefix("vsockfs: ")


def broken(yard, kind, mode, *options):
    """A peer that misbehaves; the source that leads to it."""
    path = yard.folder / "broken.sock"
    source = f"{kind}:{path}"
    process = Process([str(PEER / "broken_peer.py"), "--listen", source, "--mode", mode, *options],
                      yard.folder / "broken.stderr")
    yard.others.append(process.child)
    wait_until(lambda: path.exists() or not process.alive, "the peer listens")
    assert process.alive, process.output
    return source


# Who makes the socket of each kind of source.
LISTENERS = {"unix": "agent", "firecracker": "VM"}


def test_no_socket(yard, point):
    path = yard.folder / "none.sock"
    for kind, listener in LISTENERS.items():
        assert refused(f"{kind}:{path}", point).endswith(
            f"there is no socket {path}: is the {listener} running?")


def test_nobody_listens(yard, point):
    path = yard.folder / "dead.sock"
    end = socket.socket(socket.AF_UNIX)
    end.bind(str(path))
    end.listen()
    end.close()
    for kind, listener in LISTENERS.items():
        assert refused(f"{kind}:{path}", point).endswith(
            f"nobody listens on {path}: start the {listener} that made it")


HANDSHAKES = {
    "closes-without-ok": "the bridge closed without connecting port 5005, it said nothing: "
                         "is the agent running in the guest?",
    "no-ok": "the bridge did not connect port 5005, it said 'ERR no such port': "
             "is the agent running in the guest?",
    "long-handshake": "the bridge did not connect port 5005, it said more than 128 bytes without "
                      f"a newline: '{'x' * 128}': is this a VMM's vsock socket?",
}


@pytest.mark.parametrize("mode", HANDSHAKES)
def test_bridge_says_no(yard, point, mode):
    assert refused(broken(yard, "firecracker", mode), point).endswith(HANDSHAKES[mode])


def test_bridge_says_nothing(yard, point):
    """A VMM whose guest has no vsock driver yet: the handshake has a deadline of its own."""
    started = time.monotonic()
    line = refused(broken(yard, "firecracker", "silent-handshake"), point, timeout=12)
    assert "5005" in line
    assert time.monotonic() - started < 20


ANSWERS = {
    "array": "what the guest answered must be a JSON object, and is none",
    "garbage": "what the guest answered must be a JSON object, and is none",
    "half-reply": "the guest's answer: message must be a JSON object: premature end of input near "
                  "'\"std'",
    "empty-reply": "the guest closed the connection without an answer",
    "trailing": "the guest's answer: message must be a JSON object: end of file expected near '{'",
    "short-archive": "the guest's answer: message must be a JSON object: "
                     "end of file expected near end of file",
    "error-object": "the agent says no",
    "error-control": "two?lines?[31m and an escape",
    "endless": "the guest's reply is over the limit of 16777216 bytes",
    "silent": "the guest did not answer within 2 s: it is busy, or gone",
    "never-reads": "the guest did not answer within 2 s: it is busy, or gone",
    "deep": "the guest's answer: message is more than 32 levels deep, "
            "and must be a JSON object within that limit",
    "deep-closed": "the guest's answer: message is more than 32 levels deep, "
                   "and must be a JSON object within that limit",
    "huge-number": "the guest's answer: message must be a JSON object: too big integer",
    "huge-real": "the guest's answer: message must be a JSON object: "
                 "real number overflow near '1e999'",
    "wrong-types": "the guest's reply is not valid: stdout must be a string",
}


@pytest.mark.parametrize("mode", ANSWERS)
@pytest.mark.parametrize("kind", ["unix", "firecracker"])
def test_agent_answers_nonsense(yard, point, kind, mode):
    timeout = {"endless": 4, "silent": 2, "never-reads": 2}.get(mode, 1)
    assert refused(broken(yard, kind, mode), point, timeout).endswith(ANSWERS[mode])


def test_a_silent_agent_costs_the_command_the_timeout_once(yard, point):
    source = broken(yard, "unix", "silent")
    started = time.monotonic()
    refused(source, point, timeout=4)
    assert 3 < time.monotonic() - started < 7


def test_a_silent_agent_costs_attach_the_timeout_once(yard):
    m = yard.mount(yard.guest("local"), ["timeout=4"])
    m.allow_output(r"box|guest")
    started = time.monotonic()
    with fails(errno.ETIMEDOUT):
        put(m.point / "ctl", f"attach mute={broken(yard, 'unix', 'silent')}\n")
    assert 3 < time.monotonic() - started < 7
    assert "did not answer within 4 s" in text(m.point / "error")


def test_a_slow_agent_is_no_broken_one(yard, point):
    """Byte by byte is slow, not wrong: whatever comes of the hello, it is not a broken reply."""
    done = subprocess.run([binary("vsockfs"), "-o", "timeout=10", broken(yard, "unix", "slow"),
                           str(point)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, env=ENV, check=False)
    if is_mounted(point):
        subprocess.run(["fusermount3", "-u", "-z", point], check=True)
    assert "JSON" not in done.stderr


#
# With the mount up: errnos, once, and then at once
#


@pytest.fixture
def turning(yard):
    """turning(MODE): a mount whose guest answered well until the mount was up, and then turns bad."""
    def make(mode, *options):
        guest = yard.guest("unix", options=["--no-session"])
        (guest.workspace / "f").write_text("was here")
        guest.died_rightly = True  # nothing can be cleaned behind a peer that answers no more
        source = broken(yard, "unix", mode, "--healthy", "1", "--agent", guest.socket)
        guest.address = source
        m = yard.mount(guest, ["timeout=2", *options])
        m.allow_output(r"box|guest")
        return m
    return make


@pytest.mark.parametrize("mode", ["array", "half-reply", "empty-reply", "garbage", "trailing",
                                  "wrong-types", "short-archive", "negative-archive",
                                  "huge-archive", "endless", "deep", "huge-number", "surrogates",
                                  "nul", "error-object"])
def test_nonsense_is_eio_and_does_no_harm(turning, mode):
    m = turning(mode)
    allowed = [errno.EIO, errno.EPROTO, errno.ENOTCONN]
    if mode == "endless":
        allowed.append(errno.ETIMEDOUT)
    for attempt in (lambda: get(m.w / "f"), lambda: os.listdir(m.w),
                    lambda: put(m.w / "new", "x"), lambda: os.mkdir(m.w / "d")):
        started = time.monotonic()
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno in allowed, mode
        assert time.monotonic() - started < 8
    assert keyed(m.g / "status")
    assert os.listdir(m.point)
    assert m.guest.names() == ["f"]


def test_a_silent_guest_costs_the_timeout_once(turning):
    m = turning("silent")
    started = time.monotonic()
    with fails(errno.ETIMEDOUT):
        get(m.w / "f")
    assert 1.5 < time.monotonic() - started < 5
    for attempt in (lambda: get(m.w / "f"), lambda: put(m.w / "g", "x"),
                    lambda: os.listdir(m.w), lambda: os.mkdir(m.w / "d"),
                    lambda: os.rename(m.w / "f", m.w / "g")):
        started = time.monotonic()
        with fails(errno.ENOTCONN):
            attempt()
        assert time.monotonic() - started < 1.5
    assert keyed(m.g / "status")["state"] in ("gone", "stuck")


@pytest.mark.parametrize("kind", ["unix", "line", "firecracker", "reference", "reference-bridge"])
def test_gone_and_back(yard, kind):
    guest = yard.guest(kind)
    (guest.workspace / "f").write_text("before")
    m = yard.mount(guest, ["timeout=2"])
    m.allow_output(r"box|guest")
    assert text(m.w / "f") == "before"
    os.mkdir(m.g / "exec/x")
    guest.kill()
    started = time.monotonic()
    for _ in range(2):  # a request that was under way may fail for itself, before anything is known
        with pytest.raises(OSError) as caught:
            put(m.w / "g", "x")
        assert caught.value.errno in (errno.ENOTCONN, errno.ETIMEDOUT, errno.EIO, errno.EPROTO)
    assert time.monotonic() - started < 4, "the timeout is to be paid once"
    started = time.monotonic()
    with fails(errno.ENOTCONN):
        put(m.w / "g", "x")
    with fails(errno.ENOTCONN):
        ctl(m.g / "exec/x", "run true")
    assert time.monotonic() - started < 1.8
    assert "gone" in keyed(m.g / "status")["state"]
    assert text(m.g / "exec/x/error")
    guest.restart()

    def back():
        try:
            return text(m.w / "f") == "before"
        except OSError as error:
            assert error.errno in (errno.ENOTCONN, errno.ETIMEDOUT)
            return False
    wait_until(back, "the mount recovers by itself", 10)
    put(m.w / "g", "after")
    assert (guest.workspace / "g").read_text() == "after"


@pytest.mark.parametrize("kind", ["unix", "line", "firecracker"])
def test_a_guest_that_stands_still_costs_the_timeout_once(yard, kind):
    """Whatever was answered right before it, and while somebody asks whether it is back."""
    guest = yard.guest(kind)
    m = yard.mount(guest, ["timeout=4"])
    m.allow_output(r"box|guest")
    put(m.w / "f", "before")
    assert get(m.w / "f") == b"before"  # the answer to its close is still to be read
    guest.freeze()
    with pytest.raises(OSError) as caught:
        os.open(m.w / "f", os.O_RDONLY)
    assert caught.value.errno in (errno.ETIMEDOUT, errno.ENOTCONN)
    # Over the line dialect it is said a moment after the caller went, by who goes on listening.
    wait_until(lambda: keyed(m.g / "status")["state"] == "gone", "the guest is gone", 3)
    started = time.monotonic()
    for _ in range(5):
        with fails(errno.ENOTCONN):
            os.listdir(m.w)
    assert time.monotonic() - started < 3
    guest.freeze(False)


@pytest.mark.parametrize("kind", ["unix", "line", "firecracker", "reference"])
def test_a_guest_that_stood_still(yard, kind):
    """Asked for a new session meanwhile, too; and nothing of that is in the way later."""
    guest = yard.guest(kind)
    (guest.workspace / "f").write_text("before")
    m = yard.mount(guest, ["timeout=1"])
    m.allow_output(r"box|guest")
    file = os.open(m.w / "f", os.O_RDWR)
    guest.freeze()

    def probed():
        with pytest.raises(OSError) as caught:
            os.listdir(m.w)
        assert caught.value.errno in (errno.ENOTCONN, errno.ETIMEDOUT)
        status = keyed(m.g / "status")
        return status["state"] in ("gone", "stuck") and int(status["abandoned"]) > 0
    wait_until(probed, "it is gone, and a request is read behind a caller's back")
    guest.freeze(False)

    def back():
        try:
            return os.listdir(m.w)
        except OSError as error:
            assert error.errno in (errno.ENOTCONN, errno.ETIMEDOUT)
            return []
    assert wait_until(back, "the mount recovers by itself", 10) == ["f"]
    os.pwrite(file, b"after", 0)
    os.close(file)
    assert (guest.workspace / "f").read_text() == "aftere"
    wait_until(lambda: keyed(m.g / "status")["abandoned"] == "0", "nothing is left behind")


def test_reconnect_tries_at_once(yard):
    guest = yard.guest("reference")
    m = yard.mount(guest, ["timeout=2"])
    m.allow_output(r"box|guest")
    guest.kill()
    for _ in range(2):
        with pytest.raises(OSError):
            put(m.w / "g", "x")
    guest.restart()
    ctl(m.g, "reconnect")
    put(m.w / "g", "x")
    assert (guest.workspace / "g").read_text() == "x"


@pytest.mark.parametrize("kind", ["unix", "line", "reference"])
def test_reconnect_says_that_the_guest_is_still_gone(yard, kind):
    guest = yard.guest(kind)
    m = yard.mount(guest, ["timeout=2"])
    m.allow_output(r"box|guest")
    events = os.open(m.g / "events", os.O_RDONLY | os.O_NONBLOCK)

    def told():
        with contextlib.suppress(BlockingIOError):
            return os.read(events, 4096).decode()
        return ""

    watcher = yard.spawn("cat", m.g / "events", stdout=subprocess.DEVNULL)
    guest.kill()
    with pytest.raises(OSError):
        put(m.w / "g", "x")
    wait_until(lambda: keyed(m.g / "status")["state"] == "gone", "the guest is gone")
    wait_until(lambda: "guest box gone" in told(), "the event")
    for _ in range(2):
        with fails(errno.ENOTCONN):
            ctl(m.g, "reconnect")
        assert f"nobody listens on {guest.socket}" in text(m.g / "error")
    assert "back" not in told(), "the guest was not there"
    guest.restart()
    ctl(m.g, "reconnect")
    wait_until(lambda: "guest box back" in told(), "the event")
    watcher.kill()
    watcher.wait()
    os.close(events)


@pytest.mark.parametrize("kind", ["unix", "line", "reference"])
def test_an_open_file_over_a_restart(yard, kind):
    guest = yard.guest(kind)
    (guest.workspace / "same").write_text("same file")
    (guest.workspace / "other").write_text("one file")
    m = yard.mount(guest, ["timeout=2"])
    m.allow_output(r"box|guest")
    same = os.open(m.w / "same", os.O_RDWR)
    other = os.open(m.w / "other", os.O_RDWR)
    guest.kill()
    (guest.workspace / "other").rename(guest.workspace / "moved")
    (guest.workspace / "other").write_text("another file altogether")
    guest.restart()
    ctl(m.g, "reconnect")
    assert os.pread(same, 100, 0) == b"same file"
    os.pwrite(same, b"SAME", 0)
    os.fsync(same)
    assert (guest.workspace / "same").read_text() == "SAME file"
    with pytest.raises(OSError) as caught:
        os.pwrite(other, b"WRONG", 0)
        os.fsync(other)
    assert caught.value.errno in (errno.EIO, errno.ESTALE)
    try:
        os.close(other)
    except OSError as error:
        assert error.errno in (errno.EIO, errno.ESTALE)
    os.close(same)
    assert (guest.workspace / "other").read_text() == "another file altogether"
    assert (guest.workspace / "moved").read_text() == "one file"


#
# Callers that leave, deadlines that pass, unmounts: the peer of the field lives on
#


def plant(m):
    """What the operations below need."""
    w = m.guest.workspace
    (w / "f").write_text("contents\n" * 1000)
    (w / "d").mkdir()
    (w / "d/in").write_text("x")
    (w / "empty").mkdir()
    (w / "l").symlink_to("f")
    for number in range(3):
        (w / f"v{number}").write_text("victim")
    (m.folder / "verb-run").write_text("run sleep 0.1; echo ran\n")
    (m.folder / "verb-start").write_text("start exec sleep 1000\n")
    (m.folder / "verb-ready").write_text("ready file /workspace/never\nready-timeout 60\n"
                                         "start exec sleep 1000\n")
    (m.folder / "verb-open").write_text("open\n")
    (m.folder / "verb-stop").write_text("stop\n")
    (m.folder / "verb-sync").write_text("sync\n")
    (m.folder / "input").write_text("x" * 300000)
    for kind in ("exec", "services", "shells"):
        os.mkdir(m.g / kind / "x")


def writes(source, target):
    return lambda m: ["dd", f"if={m.folder}/{source}", f"of={m.g}/{target}", "bs=1M", "status=none",
                      "conv=notrunc"]


OPERATIONS = {
    "read": lambda m: ["cat", m.w / "f"],
    "list": lambda m: ["ls", "-la", m.w / "d"],
    "stat": lambda m: ["stat", m.w / "d/in"],
    "missing": lambda m: ["stat", m.w / "none"],
    "readlink": lambda m: ["cat", m.w / "l"],
    "statfs": lambda m: ["df", m.w],
    "create": writes("input", "workspace/new"),
    "overwrite": writes("input", "workspace/f"),
    "fsync": lambda m: ["dd", "if=/dev/zero", f"of={m.w}/s", "bs=64k", "count=4", "conv=fsync"],
    "append": lambda m: ["tee", "-a", m.w / "f"],
    "truncate": lambda m: ["truncate", "-s", "5", m.w / "f"],
    "mkdir": lambda m: ["mkdir", m.w / "made"],
    "rmdir": lambda m: ["rmdir", m.w / "empty"],
    "unlink": lambda m: ["rm", m.w / "v0"],
    "rename": lambda m: ["mv", "-T", m.w / "v1", m.w / "renamed"],
    "replace": lambda m: ["mv", "-T", m.w / "v2", m.w / "f"],
    "link": lambda m: ["ln", m.w / "f", m.w / "hard"],
    "symlink": lambda m: ["ln", "-s", "f", m.w / "soft"],
    "chmod": lambda m: ["chmod", "600", m.w / "f"],
    "utimes": lambda m: ["touch", "-d", "2020-01-01", m.w / "f"],
    "mkfifo": lambda m: ["mkfifo", m.w / "p"],
    "copy": lambda m: ["cp", "-a", m.w / "d", m.w / "d2"],
    "run": writes("verb-run", "exec/x/ctl"),
    "exec-start": writes("verb-start", "exec/x/ctl"),
    "service-start": writes("verb-start", "services/x/ctl"),
    "service-ready": writes("verb-ready", "services/x/ctl"),
    "service-lookup": lambda m: ["stat", m.g / "services/unknown"],
    "shell-open": writes("verb-open", "shells/x/ctl"),
    "cons": lambda m: ["cat", m.g / "shells/x/cons"],
    "sync": writes("verb-sync", "ctl"),
}


def call(yard, m, name):
    return yard.spawn(*OPERATIONS[name](m), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)


def until_pending(m, child):
    """Until a request of this caller's is at the guest, or it needed none (False)."""
    wait_until(lambda: m.guest.pending() or child.poll() is not None, "a request is under way")
    return bool(m.guest.pending())


@pytest.mark.parametrize("name, kind", [
    *((name, "reference") for name in OPERATIONS),
    *((name, "reference-bridge") for name in ("read", "create", "run", "list"))])
def test_a_killed_caller(yard, kind, name):
    """SIGINT, then SIGKILL, in the middle of the operation's first request at the guest."""
    m = yard.mount(yard.guest(kind, options=["--stop-wait", "0.2"]))
    plant(m)
    for number in (signal.SIGINT, signal.SIGKILL):
        ctl(m.g, "refresh")
        wait_until(lambda: not m.guest.pending(), "the guest is idle")
        m.guest.hold.touch()
        child = call(yard, m, name)
        if not until_pending(m, child):
            m.guest.hold.unlink()
            continue
        child.send_signal(number)
        try:
            child.wait(SOON)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{number.name} did not end the caller") from None
        finally:
            m.guest.hold.unlink()
    # Everything still works, in this mount and for the next caller.
    put(m.w / "after", "fine")
    assert (m.guest.workspace / "after").read_text() == "fine"
    assert m.guest.process.alive


@pytest.mark.parametrize("busy", [False, True])
def test_a_start_that_nobody_heard_of(yard, busy):
    """Interrupted before the agent has answered: it may run by then, and is not left running."""
    m = yard.mount(yard.guest("reference"))
    path = m.g / "services" / "unheard"
    path.mkdir()
    m.guest.hold.write_text("start_service")
    starter = subprocess.Popen(["bash", "-c", "echo 'start sleep 1000' > $0/ctl", path],
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: m.guest.pending() and m.guest.requests()[-1].get("action") == "start_service",
               "it is started")
    starter.send_signal(signal.SIGINT)
    if busy:
        starter.wait(SOON)  # not for as long as the guest is busy
    m.guest.hold.unlink()
    starter.wait(SOON)
    wait_until(lambda: keyed(path / "status")["state"] == "stopped", "it is stopped")
    ctl(path, "start sleep 1000")  # and nothing of that is in the way of the next one
    assert keyed(path / "status")["state"] == "running"


def test_an_open_that_nobody_heard_of(yard):
    m = yard.mount(yard.guest("reference", options=["--close-wait", "0.2"]))
    path = m.g / "shells" / "unheard"
    path.mkdir()
    m.guest.hold.write_text("open_shell")
    opener = subprocess.Popen(["bash", "-c", "echo open > $0/ctl", path], stderr=subprocess.DEVNULL)
    wait_until(lambda: m.guest.pending() and m.guest.requests()[-1].get("action") == "open_shell",
               "it is open")
    opened = m.guest.requests()[-1]["shell_id"]
    opener.send_signal(signal.SIGINT)
    opener.wait(SOON)
    m.guest.hold.unlink()
    wait_until(lambda: any(request.get("action") == "close_shell" and request["shell_id"] == opened
                           for request in m.guest.requests()), "it is closed")
    ctl(path, "open")
    assert keyed(path / "status")["state"] == "running"


@pytest.mark.parametrize("name", ["read", "list", "create", "mkdir", "run", "service-start",
                                  "shell-open", "sync"])
def test_a_killed_caller_in_the_queue(yard, name):
    """The guest serves somebody else: the caller waits at the gate or in the backlog."""
    m = yard.mount(yard.guest("reference"))
    plant(m)
    ctl(m.g, "refresh")
    for number in (signal.SIGINT, signal.SIGKILL):
        m.guest.hold.touch()
        other = threading.Thread(target=m.guest.exec, args=("true",))
        other.start()
        wait_until(m.guest.pending, "the guest is busy")
        callers = [call(yard, m, name) for _ in range(3)]
        wait_until(lambda cs=callers: all(c.poll() is not None or asleep(c.pid) for c in cs),
                   "they wait")
        for child in callers:
            child.send_signal(number)
        for child in callers:
            child.wait(SOON)
        m.guest.hold.unlink()
        other.join()
    put(m.w / "after", "fine")
    assert (m.guest.workspace / "after").read_text() == "fine"


def asleep(pid):
    """Whether a process waits in a system call."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as source:
        state = source.read().rsplit(")", 1)[1].split()[0]
    with open(f"/proc/{pid}/syscall", encoding="ascii") as source:
        return state in "SD" and source.read().split()[0].isdigit()


@pytest.mark.parametrize("kind", ["reference", "reference-bridge"])
@pytest.mark.parametrize("name", ["read", "list", "create", "mkdir", "run", "service-start",
                                  "shell-open"])
def test_a_deadline_that_passes(yard, kind, name):
    m = yard.mount(yard.guest(kind), ["timeout=1"])
    m.allow_output(r"box|guest")
    plant(m)
    ctl(m.g, "refresh")
    m.guest.hold.touch()
    started = time.monotonic()
    child = call(yard, m, name)
    assert until_pending(m, child)
    assert child.wait(10) != 0
    assert time.monotonic() - started < 6
    started = time.monotonic()
    with fails(errno.ENOTCONN):
        put(m.w / "meanwhile", "x")
    assert time.monotonic() - started < 0.9  # not the timeout once more
    assert m.guest.process.alive
    m.guest.hold.unlink()

    def back():
        try:
            put(m.w / "after", "fine")
            return True
        except OSError as error:
            assert error.errno in (errno.ENOTCONN, errno.ETIMEDOUT)
            return False
    wait_until(back, "the late answer counts as a probe", 10)
    assert (m.guest.workspace / "after").read_text() == "fine"


@pytest.mark.parametrize("kind", ["reference", "reference-bridge"])
@pytest.mark.parametrize("how", ["umount", "term"])
@pytest.mark.parametrize("name", ["read", "create", "run", "service-ready", "shell-open", "cons"])
def test_an_unmount_in_the_middle(yard, kind, how, name):
    m = yard.mount(yard.guest(kind, options=["--stop-wait", "0.2"]))
    plant(m)
    ctl(m.g, "refresh")
    m.guest.hold.touch()
    child = call(yard, m, name)
    until_pending(m, child)
    if how == "umount":
        subprocess.run(["fusermount3", "-u", "-z", m.point], check=True)
    else:
        m.allow_output("ending")
        m.process.child.send_signal(signal.SIGTERM)
    wait_until(lambda: not is_mounted(m.point), "it is unmounted")
    m.guest.hold.unlink()
    m.watchdog.cancel()
    if how == "umount" and name in ("cons", "service-ready"):
        child.send_signal(signal.SIGINT)  # a file that is open keeps a detached mount alive
    wait_until(lambda: child.poll() is not None, "the caller ends")
    assert m.wait_for_end() == 0


@pytest.mark.parametrize("kind", ["local", "line", "reference"])
def test_an_unmount_with_all_sorts_of_things_open(yard, kind):
    m = yard.mount(yard.guest(kind, options=["--stop-wait", "0.2"] if kind == "reference" else ()))
    plant(m)
    ctl(m.g / "exec/x", "start sleep 1000")
    ctl(m.g / "services/x", "start exec sleep 1000")
    ctl(m.g / "shells/x", "open")
    fd = os.open(m.w / "unsent", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"written before the unmount")
    readers = [yard.spawn("cat", m.g / name, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
               for name in ("exec/x/wait", "shells/x/cons", "events", "services/x/wait")]
    gone = os.open(m.w / "f", os.O_RDWR)
    os.unlink(m.w / "f")
    subprocess.run(["fusermount3", "-u", "-z", m.point], check=True)
    os.close(gone)
    os.close(fd)
    for reader in readers:
        reader.send_signal(signal.SIGTERM)
        reader.wait(SOON)
    assert m.wait_for_end() == 0
    assert (m.guest.workspace / "unsent").read_text() == "written before the unmount"


def test_killed_in_the_middle_of_an_upload_nothing_is_left(yard):
    guest = yard.guest("reference")
    m = yard.mount(guest)
    put(m.w / "big", "old contents")
    for _ in range(3):
        child = yard.spawn("dd", "if=/dev/zero", f"of={m.w}/big", "bs=1M", "count=40",
                           "conv=notrunc", stderr=subprocess.DEVNULL)
        count = len(guest.requests())
        wait_until(lambda c=count, p=child: len(guest.requests()) > c + 1 or p.poll() is not None,
                   "it is under way")
        child.kill()
        child.wait(SOON)
    put(m.w / "big", "new contents")
    assert (guest.workspace / "big").read_text() == "new contents"


def test_a_guest_that_dies_in_the_middle_of_an_upload(yard):
    guest = yard.guest("reference")
    m = yard.mount(guest, ["timeout=2"])
    m.allow_output(r"box|guest")
    put(m.w / "f", "old")
    child = yard.spawn("dd", "if=/dev/zero", f"of={m.w}/f", "bs=1M", "count=60",
                       "conv=notrunc,fsync", stderr=subprocess.DEVNULL)
    count = len(guest.requests())
    wait_until(lambda: len(guest.requests()) > count or child.poll() is not None, "under way")
    guest.kill()
    assert child.wait(PATIENCE) != 0
    guest.restart()
    ctl(m.g, "reconnect")
    put(m.w / "f", "new")
    assert (guest.workspace / "f").read_text() == "new"


#
# What comes from the guest is hostile
#


def test_hostile_names_in_the_guest(yard):
    """Names that a script, a terminal or an archive could take for something else."""
    guest = yard.guest("reference")
    hostile = [b"a;touch pwned", b"$(touch pwned)", b"`touch pwned`", b"a\n\nb", b"\x1b[31mred",
               b"'\"'", b"-rf", b"..a", b"a\0b".replace(b"\0", b"\x01"), b"*", b"\\", b"a\tb",
               b"x" * 255, b" ", b"\xc3\x28"]
    base = os.fsencode(guest.workspace)
    for name in hostile:
        put(os.path.join(base, name), name)
        os.mkdir(os.path.join(base, name[:200] + b".d"))
        put(os.path.join(base, name[:200] + b".d", name), name)
    m = yard.mount(guest)
    w = os.fsencode(m.w)
    assert sorted(map(os.fsdecode, os.listdir(w))) == guest.names()
    for name in hostile:
        assert get(os.path.join(w, name)) == name
        put(os.path.join(w, name[:200] + b".d", name), b"changed")
        assert get(os.path.join(base, name[:200] + b".d", name)) == b"changed"
        os.rename(os.path.join(w, name), os.path.join(w, name[:200] + b".d", b"moved"))
    assert not list(guest.workspace.rglob("pwned"))


def test_a_workspace_that_changes_all_the_time(yard):
    """Files that grow, vanish and turn into something else while they are read."""
    guest = yard.guest("reference")
    m = yard.mount(guest)
    stop = threading.Event()

    def churn():
        turn = 0
        while not stop.is_set():
            path = guest.workspace / f"c{turn % 4}"
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                path.rmdir()
            elif turn % 3 == 0:
                path.mkdir()
            elif turn % 3 == 1:
                path.symlink_to("/etc/passwd")
            else:
                path.write_bytes(bytes([65 + turn % 26]) * (turn % 70000))
            turn += 1

    churner = threading.Thread(target=churn)
    churner.start()
    allowed = {errno.ENOENT, errno.EISDIR, errno.EACCES, errno.ENOTDIR, errno.ESTALE, errno.EIO,
               errno.ELOOP, errno.EAGAIN}
    try:
        for turn in range(150):
            try:
                data = get(m.w / f"c{turn % 4}")
            except OSError as error:
                assert error.errno in allowed, error
            else:
                assert b"root:" not in data
                assert len(set(data)) <= 2, "two versions mixed"
    finally:
        stop.set()
        churner.join()
