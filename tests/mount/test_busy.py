"""Something takes long in the guest: the rest of the mount stays usable meanwhile.

Over the reference peer this is the hard case: it serves one request at a time.
"""

import errno
import os
import subprocess
import threading
import time

import pytest
from harness import PATIENCE, fails, get, keyed, put, text, wait_until

pytestmark = pytest.mark.core

QUICK = 5  # seconds: far above what a small operation takes, far below what is being waited for


def make(m, kind, name="x"):
    path = m.g / kind / name
    os.mkdir(path)
    return path


def ctl(path, *lines):
    put(path / "ctl", "".join(line + "\n" for line in lines))


class InBackground:
    """Another program writes a verb that does not return for long."""

    def __init__(self, path, *lines):
        self.child = subprocess.Popen(["tee", "-a", path / "ctl"], stdin=subprocess.PIPE,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.child.stdin.write("".join(line + "\n" for line in lines).encode())
        self.child.stdin.close()

    def is_running(self):
        return self.child.poll() is None

    def ends_well(self, seconds=PATIENCE):
        assert self.child.wait(seconds) == 0


def use(m, turn=0):
    """A bit of everything; the longest single step in seconds."""
    longest = 0
    for step in (lambda: put(m.w / f"f{turn}", "contents"),
                 lambda: text(m.w / f"f{turn}"),
                 lambda: os.mkdir(m.w / f"d{turn}"),
                 lambda: os.rename(m.w / f"f{turn}", m.w / f"d{turn}/f"),
                 lambda: os.listdir(m.w),
                 lambda: os.chmod(m.w / f"d{turn}/f", 0o600),
                 lambda: keyed(m.g / "status"),
                 lambda: os.statvfs(m.w)):
        started = time.monotonic()
        step()
        longest = max(longest, time.monotonic() - started)
    return longest


def test_a_long_run(m):
    path = make(m, "exec", "long")
    running = InBackground(path, "run echo begun; while [ ! -e go ]; do sleep 0.1; done; echo done")
    wait_until(lambda: text(path / "stdout") == "begun\n", "the command runs")
    for turn in range(3):
        assert use(m, turn) < QUICK
    other = make(m, "exec", "short")
    started = time.monotonic()
    ctl(other, "run echo quick")
    assert time.monotonic() - started < QUICK
    assert text(other / "stdout") == "quick\n"
    assert running.is_running()
    put(m.w / "go", "")
    running.ends_well()
    assert text(path / "stdout") == "begun\ndone\n"


def test_a_slow_probe(m):
    path = make(m, "services", "slow")
    starting = InBackground(path, "ready command sleep 3; test -e go", "ready-interval 100",
                            "ready-timeout 60", "start echo up; exec sleep 1000")
    wait_until(lambda: text(path / "stdout") == "up\n", "the service runs")
    assert use(m) < QUICK
    assert starting.is_running()
    put(m.w / "go", "")
    starting.ends_well()
    assert keyed(path / "status")["ready_at"] != ""


def test_a_service_that_is_long_in_getting_ready(m):
    path = make(m, "services", "app")
    starting = InBackground(path, "ready file go", "ready-interval 50", "ready-timeout 60",
                            "start echo $$; exec sleep 1000")
    wait_until(lambda: text(path / "stdout"), "the service runs")
    for turn in range(2):
        assert use(m, turn) < QUICK
    assert starting.is_running()
    # Its own files answer as well, and another writer is told, not made to wait.
    with fails(errno.EBUSY):
        ctl(path, "start true")
    assert keyed(path / "status")["state"] in ("running", "starting")
    put(m.w / "go", "")
    starting.ends_well()


def test_a_stop_that_takes_its_time(m):
    path = make(m, "services", "app")
    ctl(path, "start trap '' TERM; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: text(path / "stdout") == "up\n", "the trap is set")
    stopping = InBackground(path, "stop")
    longest = use(m)
    stopping.ends_well(40)
    assert longest < 15  # the reference agent itself is busy while it stops
    assert keyed(path / "status")["stop_reason"] == "sigkill"


def test_a_busy_shell(m):
    shell = make(m, "shells")
    fd = os.open(shell / "cons", os.O_RDWR)
    os.write(fd, b"while [ ! -e go ]; do echo busy; done\n")
    wait_until(lambda: text(shell / "output").count("busy") > 100, "it is busy")
    for turn in range(2):
        assert use(m, turn) < QUICK
    # Nobody reads its input: whoever types a lot must not block the others.
    typist = subprocess.Popen(["dd", "if=/dev/zero", f"of={shell}/cons", "bs=1000", "count=60",
                               "conv=notrunc"], stderr=subprocess.DEVNULL)
    assert use(m, 3) < 15
    put(m.w / "go", "")
    typist.kill()
    typist.wait()
    os.close(fd)


def test_output_grows_and_is_read_byte_for_byte(m):
    """Binary, in pieces that are cut anywhere, while it is being written."""
    unit = bytes(range(256)) + b"\xff\xfe\r\n\r\0"
    put(m.w / "unit", unit)
    path = make(m, "exec", "bytes")
    # It pauses twice until what it has written was seen.
    ctl(path, "start for i in $(seq 1 60); do cat unit; cat unit >&2; "
        "case $i in 20|40) until [ -e go$i ]; do sleep 0.02; done;; esac; done")
    out = os.open(path / "stdout", os.O_RDONLY)
    seen, sizes = b"", set()
    while True:
        ended = keyed(path / "status")["state"] != "running"
        while piece := os.read(out, 1000):
            seen += piece
        sizes.add(os.stat(path / "stdout").st_size)
        for count in (20, 40):
            if os.stat(path / "stdout").st_size == count * len(unit):
                (m.guest.workspace / f"go{count}").touch()
        assert (unit * 60).startswith(seen)
        if ended:
            break
    os.close(out)
    assert seen == unit * 60
    assert len(sizes) > 2, "it did not grow while it ran"
    assert get(path / "stderr") == unit * 60
    assert os.stat(path / "stderr").st_size == 60 * len(unit)


def test_a_listing_while_another_waits(m):
    """A write that fills the guest's queue does not keep readers of other files."""
    for number in range(50):
        put(m.guest.workspace / f"g{number}", str(number))
    errors = []

    def upload():
        try:
            put(m.w / "big", bytes(30 << 20))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    for number in range(50):
        assert text(m.w / f"g{number}") == str(number)
    thread.join()
    assert not errors
    assert (m.guest.workspace / "big").stat().st_size == 30 << 20


@pytest.mark.backends("reference")
def test_other_clients_of_the_guest_are_waited_for(m):
    """The one place in the backlog may be taken: connecting is tried again, up to the deadline."""
    from harness import raw_call
    threads = [threading.Thread(target=raw_call, args=(
        m.guest.socket, {"command": "sleep 0.5", "timeout_seconds": 10})) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert use(m) < 10
    for thread in threads:
        thread.join()


def test_a_verb_in_the_way_of_another(m):
    path = make(m, "exec")
    running = InBackground(path, "run while [ ! -e go ]; do sleep 0.05; done")
    wait_until(lambda: keyed(path / "status")["state"] == "running", "it runs")
    with fails(errno.EBUSY):
        ctl(path, "run true")
    ctl(path, "kill KILL")
    running.ends_well()
    assert text(path / "exit_code") == "137\n"
