"""What is counted and told: MOUNT/metrics by kind of request, and a guest's status."""

import contextlib
import os
import re
import threading

import pytest
from harness import get, keyed, put, text, wait_until

pytestmark = [pytest.mark.limit(60)]

KINDS = {"hello", "deliver", "stat", "list", "open", "read", "write", "change", "batch", "export",
         "import", "watch", "service", "shell", "exec", "output", "wait"}
COUNTS = ("requests", "retries", "sent_bytes", "received_bytes")


def totals(m, guest="box"):
    """The guest's metrics without a kind, by name."""
    found = re.findall(r'^vsockfs_guest_(\w+)\{guest="%s"\} ([\d.]+)$' % guest,
                       text(m.point / "metrics"), re.M)
    return {name: float(value) for name, value in found}


def kinds(m, guest="box"):
    """{kind: {"requests": N, ...}} of one guest."""
    found = re.findall(r'^vsockfs_guest_kind_(\w+)_total\{guest="%s",kind="(\w+)"\} (\d+)$' % guest,
                       text(m.point / "metrics"), re.M)
    table = {}
    for count, kind, value in found:
        table.setdefault(kind, {})[count] = int(value)
    return table


def asked(m, kind, count="requests"):
    return kinds(m).get(kind, {}).get(count, 0)


def grows(m, *names):
    """Within the block, requests of each of NAMES are made."""
    class Growing:
        def __enter__(self):
            self.before = {name: asked(m, name) for name in names}

        def __exit__(self, kind, *_):
            if kind is None:
                after = {name: asked(m, name) for name in names}
                assert all(after[name] > self.before[name] for name in names), \
                    (self.before, after)
    return Growing()


@pytest.mark.every
def test_requests_by_kind(m):
    assert asked(m, "hello") >= 1
    os.mkdir(m.guest.workspace / "d")
    (m.guest.workspace / "d/f").write_bytes(b"x" * 300_000)
    with grows(m, "list"):
        assert os.listdir(m.w / "d") == ["f"]
    with grows(m, "open", "read"):
        assert len(get(m.w / "d/f")) == 300_000
    assert asked(m, "read", "received_bytes") >= 300_000 or m.guest.kind != "local"
    with grows(m, "open", "write"):
        put(m.w / "new", b"y" * 100_000)
    assert asked(m, "write", "sent_bytes") >= 100_000 or m.guest.kind != "local"
    with grows(m, "change"):
        os.rename(m.w / "new", m.w / "newer")
    with grows(m, "stat"):
        os.statvfs(m.w)
    os.mkdir(m.g / "exec/x")
    with grows(m, "exec", "output"):
        put(m.g / "exec/x/ctl", "run echo out\n")
        assert text(m.g / "exec/x/stdout") == "out\n"
    os.mkdir(m.g / "services/s")
    with grows(m, "service"):
        put(m.g / "services/s/ctl", "start sleep 1000\n")
        put(m.g / "services/s/ctl", "stop\n")
    os.mkdir(m.g / "shells/t")
    with grows(m, "shell", "output"):
        put(m.g / "shells/t/ctl", "open\n")
        put(m.g / "shells/t/cons", "echo a-$((1+1))-b\n")
        wait_until(lambda: "a-2-b" in text(m.g / "shells/t/output"), "the shell answers")
        # Only now: a shell's end hangs its terminal up, and what nobody has read then is lost.
        put(m.g / "shells/t/cons", "exit\n")
        assert text(m.g / "shells/t/wait") == "0\n"
    check_sums(m)


def check_sums(m):
    """The kinds together are the whole, and status says the same."""
    table, whole, status = kinds(m), totals(m), keyed(m.g / "status")
    assert set(table) <= KINDS
    assert all(tuple(counts) == COUNTS for counts in table.values()), table
    sums = {count: sum(counts[count] for counts in table.values()) for count in COUNTS}
    assert sums == {"requests": whole["requests_total"],
                    "retries": whole["connect_retries_total"],
                    "sent_bytes": whole["sent_bytes_total"],
                    "received_bytes": whole["received_bytes_total"]}
    assert int(status["requests"]) == sums["requests"]
    assert int(status["bytes_sent"]) == sums["sent_bytes"]
    assert int(status["bytes_received"]) == sums["received_bytes"]
    assert int(status["retries"]) == sums["retries"]


@pytest.mark.backends("unix", "line", "reference")
def test_retries_after_a_killed_agent(m):
    """What is asked while the agent is away is asked again, and counted by kind."""
    put(m.w / "f", "there")
    assert totals(m)["connect_retries_total"] == 0
    m.guest.kill()

    def names():
        # What a dying agent had taken is lost, and it starts anew on a socket that is not there for a moment.
        with contextlib.suppress(OSError):
            return os.listdir(m.w)
        return []

    over = threading.Event()

    def ask():
        while not over.is_set():
            names()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        wait_until(lambda: totals(m)["connect_retries_total"] > 0, "it is asked again")
        m.guest.restart()
    finally:
        over.set()
        asker.join()
    assert wait_until(names, "the guest is back") == ["f"]
    retried = {kind: counts["retries"] for kind, counts in kinds(m).items() if counts["retries"]}
    # In a session, the hello that makes the next one may be asked again as well.
    assert retried and set(retried) <= {"hello", "list", "stat", "open"}
    check_sums(m)


def test_guests_are_counted_apart(yard):
    one, two = yard.guest("local", "one"), yard.guest("unix", "two")
    m = yard.mount({"one": one, "two": two})
    (two.workspace / "f").write_text("x")
    assert text(m.point / "two/workspace/f") == "x"
    assert kinds(m, "two")["read"]["requests"] >= 1
    assert "read" not in kinds(m, "one")
    put(m.point / "ctl", "detach two\n")
    assert kinds(m, "two") == totals(m, "two") == {}
    assert kinds(m, "one")
