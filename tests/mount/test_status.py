"""What a guest's status says of its dialect, and that the reference of all status files is true."""

import os
import platform
import re
import subprocess

import pytest
from harness import ROOT, binary, keyed, put, text, wait_until

pytestmark = [pytest.mark.limit(60)]

REFERENCE = (ROOT / "docs/control-files.md").read_text()


def section(title):
    found = re.search(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(title), REFERENCE, re.M | re.S)
    assert found, f"no section {title}"
    return found.group(1)


def documented(title):
    """The keys of a section's `status`: a sentence of them, or the table behind it."""
    words = section(title).split("\n`status`: ", 1)[1]
    sentence, rest = re.split(r"\.\s+", words, maxsplit=1)
    if rest.startswith("|"):
        rows = rest.split("\n\n", 1)[0].splitlines()[2:]
        sentence = "\n".join(row.split("|")[1] for row in rows)
    return re.findall(r"`([\w.]+)`", sentence)


def keys(path):
    return list(keyed(path / "status"))


def test_the_reference_has_every_key_and_no_other(yard):
    m = yard.mount({"one": yard.guest("local", "one"), "two": yard.guest("unix", "two")})
    for kind in ("services", "shells", "exec"):
        os.mkdir(m.g / kind / "x")
    assert keys(m.point) == [key for key in documented("MOUNT") if key != "guest.NAME"] + \
        ["guest.one", "guest.two"]
    assert "guest.NAME" in documented("MOUNT")
    assert keys(m.g) == documented("MOUNT/GUEST")
    for title, name in (("services/NAME", "services"), ("shells/ID", "shells"),
                        ("exec/NAME", "exec")):
        assert keys(m.g / name / "x") == documented(title), title


@pytest.mark.backends("unix", "line", "reference")
@pytest.mark.options("timeout=1")
def test_the_keys_are_the_same_whatever_happens(m):
    assert keys(m.g) == documented("MOUNT/GUEST")
    m.guest.kill()
    with pytest.raises(OSError):
        while True:
            os.mkdir(m.w / f"d{os.urandom(4).hex()}")
    assert keys(m.g) == documented("MOUNT/GUEST")


def build_id(program):
    """Of the .note.gnu.build-id, as the linker made it."""
    notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True,
                           check=True).stdout
    return re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)


SESSION = {"dialect": "session/1", "agent_build": None, "agent_delivered": "no",
           "line_reason": "null"}
UNIX_LINE = {"dialect": "line", "agent": "null", "agent_build": "null", "agent_delivered": "no",
             "line_reason": "the guest's agent speaks only the line dialect, and behind a unix: "
                            "socket there is no other"}
SAYS = {
    "local": {"transport": "unix", **SESSION},
    "unix": {"transport": "unix", **SESSION},
    "firecracker": {"transport": "bridge", **SESSION},
    "bare": {"transport": "unix", **SESSION},
    "line": {"transport": "unix", **UNIX_LINE},
    "reference": {"transport": "unix", **UNIX_LINE},
    # The harness mounts it with agent=never.
    "reference-bridge": {"transport": "bridge", **UNIX_LINE,
                         "line_reason": "the guest's agent speaks only the line dialect, and "
                                        "agent=never"},
}


@pytest.mark.every
def test_what_a_guest_speaks_and_why(m):
    status = keyed(m.g / "status")
    says = dict(SAYS[m.guest.kind])
    if says["dialect"] == "session/1":
        says["agent_build"] = build_id(binary("vsockfs-agent"))
        version = text(m.point / "version").split()[1]
        says["agent"] = f"vsockfs-agent {version}"
    assert {key: status[key] for key in says} == says
    assert status["state"] == "up"
    assert status["address"] == m.guest.address
    assert status["machine"] == platform.machine()
    assert 0 < float(status["round_trip_ms"]) < 60_000
    assert status["last_error"] == "null"
    assert f"attach box={m.guest.address}" in text(m.point / "ctl").splitlines()


@pytest.mark.backends("unix", "reference")
@pytest.mark.options("timeout=1")
def test_the_last_error_is_a_sentence(m):
    m.guest.kill()

    def told():
        try:
            os.mkdir(m.w / f"d{os.urandom(4).hex()}")
        except OSError:
            return keyed(m.g / "status")["last_error"] != "null"
        return False

    wait_until(told, "status tells what happened")
    assert len(keyed(m.g / "status")["last_error"]) > 20
    m.guest.restart()
    put(m.g / "ctl", "reconnect\n")
    assert keyed(m.g / "status")["state"] == "up"


def test_the_reference_has_every_metric_and_no_other(m):
    table = "\n".join(re.findall(r"^\| (.*?) \|", section("MOUNT"), re.M))
    kinds = re.findall(r'\[TRAFFIC_\w+\] = "(\w+)"', (ROOT / "protocol/traffic.c").read_text())
    lines = text(m.point / "metrics").splitlines()
    found = {re.match(r"vsockfs_guest_(\w+)\{", line).group(1) for line in lines}
    assert len(kinds) > 10 and "read" in kinds
    assert found == set(re.findall(r"`(\w+(?:_\w+)+|up)(?:\{[^`]*)?`", table))
    assert kinds == [kind for kind in re.findall(r"`([a-z]+)`", table) if kind != "status"]
