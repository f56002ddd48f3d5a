"""The agent is killed and started anew while the mount is used: over a session what is safe goes on, what is not
safe is told, and nothing is done twice or in the wrong order."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import fails, get, keyed, put, text, wait_until

MEGABYTE = 1 << 20


@pytest.fixture
def m(yard):
    mount = yard.mount(yard.guest("unix"), ["timeout=5"])
    mount.allow_output(r"box|guest")
    return mount


@pytest.fixture(params=["killed", "cut"])
def broken(yard, request):
    """A mount, and .break_it(): the agent is killed and started again, or its connections break."""
    guest = yard.guest("unix")
    if request.param == "cut":
        path = guest.folder / "relay.sock"
        relay = yard.spawn(Path(__file__).with_name("relay.py"), path, guest.socket,
                           stdout=subprocess.PIPE)
        wait_until(path.exists, "the relay listens")
        guest.address = f"unix:{path}"
    mount = yard.mount(guest, ["timeout=5"])
    mount.allow_output(r"box|guest")

    def cut():
        relay.send_signal(signal.SIGUSR1)
        relay.stdout.readline()

    mount.break_it = guest.replace if request.param == "killed" else cut
    mount.agent_dies = request.param == "killed"
    return mount


def moved(m, key):
    return int(keyed(m.g / "status")[key])


def in_the_middle(m, worker, key, amount):
    """Breaks the session three times, each when so much more has moved, and lets WORKER come to its end."""
    for _ in range(3):
        start = moved(m, key)
        wait_until(lambda: moved(m, key) > start + amount or worker.poll() is not None,  # noqa: B023
                   "something moves")
        assert worker.poll() is None, "it has ended before its time"
        m.break_it()
    (m.folder / "stop").touch()


#
# Files
#


def until_stop(yard, m, script, **more):
    """A shell that repeats SCRIPT until it is to stop."""
    return yard.spawn("/bin/sh", "-ec", f"until [ -e {m.folder}/stop ]; do\n{script}\ndone", **more)


def test_reading(yard, broken):
    m = broken
    original = m.guest.workspace / "f"
    original.write_bytes(os.urandom(16 * MEGABYTE))
    reader = until_stop(yard, m, f"cmp {m.w}/f {original}")
    in_the_middle(m, reader, "bytes_received", 4 * MEGABYTE)
    assert reader.wait(30) == 0


def test_writing(yard, broken):
    m = broken
    original = m.folder / "original"
    original.write_bytes(os.urandom(16 * MEGABYTE))
    writer = until_stop(yard, m, f"dd if={original} of={m.w}/f bs=64k conv=fsync status=none\n"
                                 f"cmp {original} {m.guest.workspace}/f")
    in_the_middle(m, writer, "bytes_sent", 4 * MEGABYTE)
    assert writer.wait(30) == 0
    assert get(m.w / "f") == original.read_bytes()


APPENDER = """
import os, sys
log, stop = sys.argv[1:]
log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number = 0
while not os.path.exists(stop):
    try:
        os.write(log, b"%09d\\n" % number)
    except OSError as error:
        print(error.errno, flush=True)
    number += 1
try:
    os.close(log)
except OSError as error:
    print(error.errno)
print("appended", number)
"""


def test_appending(yard, broken):
    """No line comes twice or in the wrong place; and none is missing of which nothing was said."""
    m = broken
    writer = yard.spawn(sys.executable, "-c", APPENDER, m.w / "log", m.folder / "stop",
                        stdout=subprocess.PIPE, text=True)
    in_the_middle(m, writer, "bytes_sent", 40000)
    *told, end = writer.communicate(timeout=30)[0].splitlines()
    lines = [int(line) for line in (m.guest.workspace / "log").read_text().split()]
    assert lines == sorted(set(lines))
    assert set(told) <= {str(errno.EIO)} and len(told) <= 3
    assert told or len(lines) == int(end.split()[1])


def test_names(yard, broken):
    """Each change is made, or refused, or nobody knows: and then a look at the guest tells."""
    m = broken
    worker = until_stop(yard, m, f"""
        cd {m.w}
        until mkdir d || test -d d; do :; done
        until mv -T d e || test -d e; do :; done
        until rmdir e || test ! -e e; do :; done
        """, stderr=subprocess.PIPE, text=True)
    in_the_middle(m, worker, "requests", 100)
    complaints = worker.communicate(timeout=30)[1]
    assert worker.returncode == 0
    assert complaints.count("Input/output error") == len(complaints.splitlines()) <= 3, complaints
    assert m.guest.names() == []


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


#
# Processes
#


def test_cons(yard, broken):
    """A shell goes on over a broken connection; with its agent it ends, and whoever reads it hears so."""
    m = broken
    os.mkdir(m.g / "shells/s")
    put(m.g / "shells/s/ctl", "open\n")
    put(m.g / "shells/s/cons", "echo be''fore\n")
    reader = yard.spawn("cat", m.g / "shells/s/cons", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: "before" in text(m.g / "shells/s/output"), "the shell answers")
    m.break_it()
    if m.agent_dies:
        out, _ = reader.communicate(timeout=20)
        assert "before" in out
        assert keyed(m.g / "shells/s/status")["state"] == "stopped"
        assert text(m.g / "shells/s/wait") == "null\n"
        assert "agent" in text(m.g / "shells/s/error")
        assert "before" in text(m.g / "shells/s/output")
        with fails(errno.EIO):
            put(m.g / "shells/s/cons", "echo behind\n")
        put(m.g / "shells/s/ctl", "open\n")
    put(m.g / "shells/s/cons", "echo af''ter; exit 3\n")
    if not m.agent_dies:
        out, _ = reader.communicate(timeout=20)
        assert out.count("\nafter\n") == 1
    assert text(m.g / "shells/s/wait") == "3\n"
    assert text(m.g / "shells/s/output").count("\rafter\r\n") == 1


def test_output_of_a_command(broken):
    """It is read on where it was, and nothing is there twice; what the agent forgot is an error."""
    m = broken
    os.mkdir(m.g / "exec/x")
    put(m.g / "exec/x/ctl", "start i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); "
                            "[ $((i % 10)) -gt 0 ] || sleep 0.002; done\n")
    got = b""
    with open(m.g / "exec/x/stdout", "rb", buffering=0) as out:
        wait_until(lambda: moved_on(out), "there is output")
        got += moved_on.last
        m.break_it()
        if m.agent_dies:
            with fails(errno.EIO):
                while True:
                    out.read(4096)
            return
        for _ in range(2):
            wait_until(lambda: moved_on(out), "there is more output")
            got += moved_on.last
            m.break_it()
        assert text(m.g / "exec/x/wait") == "0\n"
        while piece := out.read(4096):
            got += piece
    assert got == b"".join(b"line %d\n" % i for i in range(3000))


def moved_on(file):
    moved_on.last = file.read(4096)
    return moved_on.last


def test_waiting_for_a_command(yard, broken):
    m = broken
    os.mkdir(m.g / "exec/x")
    put(m.g / "exec/x/ctl", "start while [ ! -e go ]; do sleep 0.01; done; exit 7\n")
    waiter = yard.spawn("cat", m.g / "exec/x/wait", stdout=subprocess.PIPE, text=True)
    m.break_it()
    if m.agent_dies:
        assert waiter.communicate(timeout=20)[0] == "null\n"
        assert keyed(m.g / "exec/x/status")["state"] == "exited"
        assert "restarted" in text(m.g / "exec/x/error")
        assert text(m.g / "exec/x/exit_code") == ""
        put(m.g / "exec/x/ctl", "run exit 5\n")
        assert text(m.g / "exec/x/exit_code") == "5\n"
    else:
        (m.guest.workspace / "go").touch()
        assert waiter.communicate(timeout=20)[0] == "7\n"
    os.rmdir(m.g / "exec/x")


def test_removing_a_command_that_is_lost(m):
    os.mkdir(m.g / "exec/x")
    put(m.g / "exec/x/ctl", "start sleep 1000\n")
    m.guest.replace()
    os.rmdir(m.g / "exec/x")


def test_running_a_command(yard, broken):
    m = broken
    os.mkdir(m.g / "exec/x")
    runner = yard.spawn("/bin/sh", "-c", 'echo "run while [ ! -e go ]; do sleep 0.01; done; exit 7" '
                        ">exec/x/ctl", cwd=m.g, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: keyed(m.g / "exec/x/status")["state"] == "running", "it runs")
    m.break_it()
    if not m.agent_dies:
        (m.guest.workspace / "go").touch()
    complaint = runner.communicate(timeout=20)[1]
    if m.agent_dies:
        assert "error" in complaint
        assert "restarted" in text(m.g / "exec/x/error")
    else:
        assert not complaint
        assert text(m.g / "exec/x/exit_code") == "7\n"


def test_waiting_for_a_service(yard, broken):
    """A service is the guest's, not the agent's; but here the guest ends with the agent."""
    m = broken
    os.mkdir(m.g / "services/s")
    put(m.g / "services/s/ctl", "start while [ ! -e go ]; do sleep 0.01; done; exit 7\n")
    waiter = yard.spawn("cat", m.g / "services/s/wait", stdout=subprocess.PIPE, text=True)
    m.break_it()
    if not m.agent_dies:
        (m.guest.workspace / "go").touch()
    out, _ = waiter.communicate(timeout=20)
    if not m.agent_dies:
        assert out == "7\n"
