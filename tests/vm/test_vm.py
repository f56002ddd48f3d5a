"""The real thing: a virtual machine with the static agent on AF_VSOCK, mounted as vsock:1."""

import os
import subprocess

import pytest
from machine import binary, boot, libraries, results


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    console = boot(tmp_path_factory.mktemp("vm"), os.path.join(os.path.dirname(__file__), "init"))
    print(console)  # shown with the first test, which looks at the end
    return results(console)


def test_the_machine_gets_to_its_end(found):
    assert found.get("end") == "reached"


def test_the_agent_is_static_and_small(tmp_path):
    agent = binary("vsockfs-agent")
    assert libraries(agent) == []
    subprocess.run(["strip", "-o", tmp_path / "stripped", agent], check=True)
    assert (tmp_path / "stripped").stat().st_size < 8 << 20


EXPECTED = {
    "mount": "ok",
    "transport": "transport vsock",
    "read": "from the guest",
    "edit": "edited on the host",
    "tree": ". ./D ./D/e ./D/e/f ./note.txt ",
    "attributes": "750 981173106",
    "big": "3145728",
    "link": "note.txt edited on the host",
    "run": "edited on the host/to-stderr/3",
    "stdin": "a b ",
    "service": "0 state running serving",
    "stopped": "0 state stopped",
    "shell": "5 1 1",
    "kill-while-run": "0",
    "run-while-kill": "0 143 ",
    "stop-while-start": "0",
    "start-while-stop": "1",
    "write-while-read": "0",
    "signal-while-read": "0",
    "read-while-signal": "0",
    "unmount": "0",
    "daemon": "0 ",
    "left": "",
    "agent": "",
    "background": "0 edited on the host",
    "gone": "1 1",
    "back": "edited on the host",
    "end-unmount": "0",
    "delivered": "dialect session/1 agent_delivered yes line_reason null ",
    "delivered-run": "over the session",
    "delivered-files": "",
    "delivered-shared": "dialect session/1 agent_delivered yes 1",
    "never": "dialect line agent_delivered no ",
    "never-write": "0 over the line",
    "delivered-log": "",
    "delivered-left": "",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_main_job(found, name):
    assert found.get(name) == EXPECTED[name]


def test_all_modules_load(found):
    assert "module" not in found


def test_an_unknown_verb_is_told(found):
    status, sentence = found["error"].split(" ", 1)
    assert status != "0" and "run" in sentence


def test_a_peer_that_is_not_the_host_is_refused(found):
    status, sentence = found["refused"].split(" ", 1)
    assert status == "1" and sentence.startswith("vsockfs: ")


def test_nobody_on_the_port(found):
    status, sentence = found["nobody"].split(" ", 1)
    assert status == "1" and sentence.startswith("vsockfs: ") and "6000" in sentence
