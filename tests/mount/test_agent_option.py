"""-o agent=auto|never at a VM whose own agent is a simple one: what status says where vsockfs's agent
cannot be brought.

The VM is a script of this file behind a bridge. It runs nothing: an agent that was really brought would listen on
this machine's AF_VSOCK. (That it works is shown in tests/unit/test_deliver.c and in tests/vm.)
"""

import json
import os
import platform
import re
import socket
import threading

import pytest
from conftest import agent_is_static
from harness import keyed, put, wait_until

pytestmark = [pytest.mark.limit(60)]

TOKEN = re.compile(r"vsockfs-(?:hello )?([0-9a-f]{16})")
DONE = {"stdout": "", "stderr": "", "exit_code": 0, "duration_ms": 1}


class SimpleVM:
    """Behind the Unix socket PATH: port 5005 is a line-dialect agent, PORTS is asked for all others.

    `upload` and `start` are the answers to vsockfs's agent and to the script that starts it; None of the
    first is what a healthy one says. `asked` is what came, in order: hello, upload, start, sweep, port, other.
    """
    kind = "scripted"

    def __init__(self, path, machine=None, lacks="", upload=None, start=None, ports=None):
        self.address = f"firecracker:{path}"
        self.machine, self.lacks = machine or platform.machine(), lacks
        self.upload, self.start, self.ports = upload, start, ports
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def one(self, client):
        with client, client.makefile("rwb") as stream:
            try:
                port = stream.readline().split()[1]
                if port != b"5005":
                    self.asked.append("port")
                    if self.ports:
                        stream.write(b"OK 1\n")
                        stream.flush()
                        stream.readline()
                        stream.write(self.ports)
                        stream.flush()
                        client.recv(1)
                    return
                stream.write(b"OK 1\n")
                stream.flush()
                request = json.loads(stream.readline())
                stream.read(request.get("archive_size", 0))
                stream.write(json.dumps(self.answer(request)).encode() + b"\n")
                stream.flush()
            except (OSError, IndexError):  # the client had enough
                pass

    def answer(self, request):
        action, command = request.get("action"), request.get("command", "")
        token = TOKEN.search(command)
        if action == "hello":
            self.asked.append("hello")
            return {**DONE, "stdout": f"\nvsockfs-hello {token[1]} yes {self.machine} "
                                      f"lacks:{self.lacks}\n"}
        if action == "extract_archive":
            self.asked.append("upload")
            return self.upload or {"destination": request["destination"], "entry_count": 1,
                                   "bytes_written": request["archive_size"]}
        if "vsockfs-deliver" in command:
            self.asked.append("start")
            if isinstance(self.start, dict):
                return self.start
            return {**DONE, "stdout": f"\nvsockfs-deliver {token[1]} {self.start}\n"}
        if command.rstrip().endswith("clean"):
            self.asked.append("sweep")
            return DONE
        self.asked.append("other")
        return {"error": "this guest runs nothing"}


@pytest.fixture
def vm(yard):
    def make(**how):
        made = SimpleVM(yard.folder / "vm.sock", **how)
        yard.at_end(made.close)
        return made
    return make


def stays_on_the_line(m, reason):
    """The mount is there, in the line dialect, for a reason that has REASON; the whole of it."""
    # A delivery that takes longer than the mount waits for it goes on behind its back.
    wait_until(lambda: keyed(m.g / "status")["dialect"] != "null", "the dialect is settled")
    status = keyed(m.g / "status")
    assert (status["dialect"], status["state"]) == ("line", "up")
    assert status["agent_delivered"] == "no" and status["agent"] == "null"
    assert reason in status["line_reason"], status["line_reason"]
    assert sorted(os.listdir(m.g)) == ["ctl", "error", "events", "exec", "services", "shells",
                                       "status", "workspace"]
    return status["line_reason"]


def needs_an_agent_to_bring():
    if not agent_is_static():
        pytest.skip("the agent of this build is not static: there is none to bring")


def test_never(yard, vm):
    guest = vm()
    m = yard.mount(guest, ["agent=never"])
    assert stays_on_the_line(m, "agent=never") == \
        "the guest's agent speaks only the line dialect, and agent=never"
    assert guest.asked == ["hello"]


@pytest.mark.parametrize("options", [[], ["agent=auto"]])
def test_another_machine(yard, vm, options):
    guest = vm(machine="pdp11")
    m = yard.mount(guest, options)
    assert stays_on_the_line(m, "pdp11") == "there is no vsockfs-agent for the machine 'pdp11'"
    assert keyed(m.g / "status")["machine"] == "pdp11"
    assert guest.asked == ["hello"]


def test_a_machine_that_no_agent_is_installed_for(yard, vm):
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    guest = vm(machine=other)
    m = yard.mount(guest)
    reason = stays_on_the_line(m, f"no static vsockfs-agent for {other} is installed")
    assert "VSOCKFS_AGENT_DIR" in reason
    assert guest.asked == ["hello"]


def test_a_tool_is_missing(yard, vm):
    guest = vm(lacks=",chmod,mv")
    m = yard.mount(guest)
    assert stays_on_the_line(m, "no") == "the guest has no chmod,mv"
    assert guest.asked == ["hello"]


@pytest.mark.parametrize("error", ["archive members must stay below the workspace",
                                   "[Errno 28] No space left on device: 'agent'"])
def test_the_upload_is_refused(yard, vm, error):
    needs_an_agent_to_bring()
    guest = vm(upload={"error": error})
    m = yard.mount(guest)
    assert stays_on_the_line(m, error) == f"the guest did not take vsockfs's agent: {error}"
    # What it took of it before it refused is removed.
    assert guest.asked == ["hello", "port", "upload", "sweep"]


@pytest.mark.parametrize("start, reason", [
    ("nowhere", "the guest has no place to run vsockfs's agent from: /run, /dev/shm, /tmp and "
                "/var/tmp are full, read-only or noexec"),
    ("ended vsockfs-agent: vsock: Operation not permitted",
     "vsockfs's agent ended in the guest: vsockfs-agent: vsock: Operation not permitted"),
    ("ended ", "vsockfs's agent ended in the guest: it said nothing"),
])
def test_it_does_not_start(yard, vm, start, reason):
    needs_an_agent_to_bring()
    guest = vm(start=start)
    m = yard.mount(guest)
    assert stays_on_the_line(m, "agent") == reason
    assert guest.asked == ["hello", "port", "upload", "start"]  # which removes what it has moved


@pytest.mark.parametrize("start, reason", [
    ({**DONE, "exit_code": 2, "stderr": "sh: syntax error"},
     "the guest did not start vsockfs's agent: sh: syntax error"),
    ({**DONE, "exit_code": 124, "stderr": "command timed out after 4s"},
     "the guest did not start vsockfs's agent: command timed out after 4s"),
    ({"error": "[Errno 12] Cannot allocate memory"}, "[Errno 12] Cannot allocate memory"),
])
def test_nobody_knows_if_it_was_started(yard, vm, start, reason):
    needs_an_agent_to_bring()
    guest = vm(start=start)
    m = yard.mount(guest)
    assert stays_on_the_line(m, "") == reason
    assert guest.asked == ["hello", "port", "upload", "start", "sweep"]


def test_it_is_another_build_that_listens(yard, vm):
    """On every port that ours would have: nothing is brought, and nobody is fought with."""
    needs_an_agent_to_bring()
    guest = vm(ports=b'{"dialect": "session/1", "agent": "other", "version": "9", "build": "b0"}\n')
    m = yard.mount(guest)
    assert stays_on_the_line(m, "strangers") == \
        "strangers listen on the ports of the guest that vsockfs's agent would use"
    assert set(guest.asked) == {"hello", "port"} and guest.asked.count("port") > 1


def test_it_cannot_be_reached(yard, vm):
    """It says that it listens, and nobody does: a firewall, or a bridge that knows one port."""
    needs_an_agent_to_bring()
    guest = vm(start="listens ")
    m = yard.mount(guest)
    stays_on_the_line(m, "was started in the guest, but cannot be reached: the bridge closed")
    assert guest.asked[:4] == ["hello", "port", "upload", "start"]
    assert set(guest.asked[4:]) == {"port"}


def test_it_is_settled_for_good(yard, vm):
    """A guest to which it cannot be brought is not asked again, only who is asked to reconnect asks it."""
    needs_an_agent_to_bring()
    guest = vm(upload={"error": "no"})
    m = yard.mount(guest)
    reason = stays_on_the_line(m, "did not take")
    with pytest.raises(OSError):
        os.stat(m.w / "f")
    put(m.g / "ctl", "reconnect\n")
    assert stays_on_the_line(m, "") == reason
    assert guest.asked.count("upload") == 1 and guest.asked.count("hello") == 2
