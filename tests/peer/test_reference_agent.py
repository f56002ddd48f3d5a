"""The reference peer against the description of the field's agent, line by line.

The mount tests prove something only as far as this peer has the field's traps.
"""

import base64
import io
import json
import os
import shutil
import socket
import stat
import sys
import tarfile
import tempfile
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../mount"))
from harness import REFERENCE_DIED, Guest, raw_call, wait_until  # noqa: E402


@pytest.fixture(params=["reference", "reference-bridge"])
def guest(request):
    folder = tempfile.mkdtemp(prefix="rp-", dir="/tmp")
    options = request.node.get_closest_marker("options")
    guest = Guest(request.param, folder, options.args if options else ()).start()
    guest.ends = 0  # the exit status that is right at the end: SIGTERM's
    yield guest
    if guest.ends == 0:
        assert guest.process.alive, guest.process.output
    else:
        wait_until(lambda: not guest.process.alive, "the peer dies")
        assert guest.process.child.returncode == guest.ends, guest.process.output
        assert "died: client left" in guest.process.output
    guest.stop()
    shutil.rmtree(folder)


def ask(guest, request, payload=b""):
    return json.loads(raw_call(guest.socket, request, payload, guest.bridge))


def error(guest, request, payload=b""):
    reply = ask(guest, request, payload)
    assert list(reply) == ["error"], reply
    return reply["error"]


def tar(*members, mode="w"):
    """Members: (name, bytes) for files, or a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode, info.mtime = len(member[1]), 0o751, 1000
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def upload(guest, data, destination="/workspace"):
    return ask(guest, {"action": "extract_archive", "destination": destination,
                       "archive_size": len(data)}, data)


def open_connection(guest):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(guest.socket)
    if guest.bridge:
        connection.sendall(b"CONNECT 5005\n")
        assert connection.recv(100).startswith(b"OK ")
    return connection


# Connections


def test_one_request_at_a_time(guest):
    """Two of them: one is served, one waits; a third might find the backlog full."""
    command = "echo begin >>/workspace/log; sleep 0.3; echo end >>/workspace/log"
    threads = [threading.Thread(target=ask, args=(guest, {"command": command})) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (guest.workspace / "log").read_text() == "begin\nend\nbegin\nend\n"


def test_backlog_of_one(guest):
    busy = open_connection(guest)
    busy.sendall(b'{"command": "while [ ! -e /workspace/go ]; do sleep 0.02; done"}\n')
    wait_until(guest.requests, "the request is being served")
    waiting = [open_connection(guest) for _ in range(2)]
    over = socket.socket(socket.AF_UNIX)
    over.setblocking(False)
    if guest.bridge:
        over.connect(guest.socket)
        over.setblocking(True)
        over.sendall(b"CONNECT 5005\n")
        assert over.recv(100) == b""
    else:
        with pytest.raises(BlockingIOError):
            over.connect(guest.socket)
    over.close()
    for connection in waiting:
        connection.sendall(b'{"command": "echo waited"}\n')
    (guest.workspace / "go").touch()
    for connection in waiting:
        assert json.loads(connection.recv(4096))["stdout"] == "waited\n"
        assert connection.recv(1) == b""
        connection.close()
    while busy.recv(4096):
        pass
    busy.close()


def leave(guest, request, payload=b""):
    connection = open_connection(guest)
    connection.sendall(json.dumps(request).encode() + b"\n" + payload)
    return connection


def test_dies_when_the_client_leaves_before_the_reply(guest):
    leave(guest, {"command": "sleep 0.3"}).close()
    guest.ends = REFERENCE_DIED


def test_dies_when_the_client_leaves_an_unread_reply(guest):
    connection = leave(guest, {"command": "echo hello"})
    wait_until(lambda: '"reply"' in guest.log.read_text(), "the reply is sent")
    connection.close()
    guest.ends = REFERENCE_DIED


def test_dies_when_the_client_leaves_in_an_export(guest):
    (guest.workspace / "big").write_bytes(bytes(8 << 20))
    connection = leave(guest, {"action": "export_archive", "path": "/workspace"})
    assert connection.recv(100)
    connection.close()
    guest.ends = REFERENCE_DIED


def test_dies_of_a_probe_without_a_request(guest):
    open_connection(guest).close()
    guest.ends = REFERENCE_DIED


def test_dies_when_a_waiting_client_leaves(guest):
    busy = leave(guest, {"command": "sleep 0.3"})
    leave(guest, {"command": "true"}).close()
    while busy.recv(4096):
        pass
    busy.close()
    guest.ends = REFERENCE_DIED


def test_its_shells_die_with_it(guest):
    ask(guest, {"action": "open_shell", "shell_id": "s"})
    leave(guest, {"command": "sleep 0.1"}).close()
    wait_until(lambda: not guest.process.alive, "the peer dies")
    guest.start()
    assert error(guest, {"action": "read_shell", "shell_id": "s"}) == "shell 's' does not exist"


@pytest.mark.parametrize("guest", ["reference-bridge"], indirect=True)
def test_bridge_refuses_other_ports(guest):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(guest.socket)
    connection.sendall(b"CONNECT 5006\n")
    assert connection.recv(100) == b""
    connection.close()


def test_the_line_may_come_byte_by_byte(guest):
    connection = open_connection(guest)
    for byte in b'{"command": "echo x"}\n':
        connection.sendall(bytes([byte]))
    assert json.loads(connection.recv(4096))["stdout"] == "x\n"
    assert connection.recv(1) == b""
    connection.close()


@pytest.mark.options("--no-newline")
def test_older_agents_end_without_a_newline(guest):
    assert raw_call(guest.socket, {"command": "true"}, bridge=guest.bridge).endswith(b"}")


def test_newer_agents_end_with_a_newline(guest):
    assert raw_call(guest.socket, {"command": "true"}, bridge=guest.bridge).endswith(b"}\n")


def test_unknown_action_is_an_empty_exec(guest):
    reply = ask(guest, {"action": "no_such_thing"})
    assert (reply["exit_code"], reply["stdout"], reply["stderr"]) == (0, "", "")
    hello = ask(guest, {"action": "hello", "command": "echo C", "timeout_seconds": 10})
    assert hello["stdout"] == "C\n" and "dialect" not in hello


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"\n", b'{"command"\n'])
def test_a_bad_request_is_an_error_reply(guest, line):
    connection = open_connection(guest)
    connection.sendall(line)
    assert "error" in json.loads(connection.recv(4096))
    assert connection.recv(1) == b""
    connection.close()


# Exec


def test_exec_runs_in_the_root(guest):
    assert ask(guest, {"command": "pwd"})["stdout"] == "/\n"


def test_exec_output_is_strict_utf8(guest):
    assert "'utf-8' codec can't decode" in error(guest, {"command": r"printf '\377'"})


def test_exec_translates_newlines(guest):
    assert ask(guest, {"command": r"printf 'a\r\nb\rc'"})["stdout"] == "a\nb\nc"


def test_exec_stdin_is_the_agents(guest):
    reply = ask(guest, {"command": "cat", "timeout_seconds": 1})
    assert (reply["exit_code"], reply["stdout"], reply["stderr"]) == \
        (124, "", "command timed out after 1s")


def test_exec_timeout_is_cut_to_an_integer(guest):
    assert ask(guest, {"command": "sleep 5", "timeout_seconds": 1.9})["stderr"] == \
        "command timed out after 1s"
    assert ask(guest, {"command": "sleep 5", "timeout_seconds": 0})["exit_code"] == 124


def test_exec_timeout_kills_only_the_sh(guest):
    ask(guest, {"command": "(sleep 1.2; touch /workspace/lived) & sleep 9", "timeout_seconds": 1})
    wait_until((guest.workspace / "lived").exists, "the child lives on")


def test_exec_waits_for_whoever_holds_its_stdout(guest):
    started = time.monotonic()
    ask(guest, {"command": "sleep 0.5 & true"})
    assert time.monotonic() - started >= 0.5


def test_exec_command_too_long(guest):
    assert ask(guest, {"command": "#" + "x" * 131070})["exit_code"] == 0
    assert error(guest, {"command": "#" + "x" * 131071}).startswith(
        "[Errno 7] Argument list too long")


def test_exec_signal_is_a_negative_exit_code(guest):
    assert ask(guest, {"command": "kill -9 $$"})["exit_code"] == -9


def test_env(guest):
    assert ask(guest, {"command": "echo $A", "env": {"A": "x y"}})["stdout"] == "x y\n"
    assert "environment variable" in error(guest, {"command": "true", "env": {"1A": "x"}})
    assert ask(guest, {"command": "echo ok", "env": None})["stdout"] == "ok\n"


# Extract


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_extract(guest, mode):
    assert upload(guest, tar(("d/note.txt", b"hello\n"), mode=mode)) == \
        {"destination": "/workspace", "entry_count": 1, "bytes_written": 6}
    info = (guest.workspace / "d/note.txt").stat()
    assert stat.S_IMODE(info.st_mode) == 0o644 and info.st_mtime > 1e9
    assert stat.S_IMODE((guest.workspace / "d").stat().st_mode) == 0o755


def test_extract_writes_in_place(guest):
    path = guest.workspace / "f"
    path.write_text("a longer text")
    path.chmod(0o600)
    inode = path.stat().st_ino
    upload(guest, tar(("f", b"short")))
    assert path.read_text() == "short"
    assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (inode, 0o600)


def test_extract_strips_white_space_around_names(guest):
    upload(guest, tar((" a b ", b"x")))
    assert os.listdir(guest.workspace) == ["a b"]


@pytest.mark.parametrize("member", [
    ("/abs", b""), ("../up", b""), ("a/../../up", b""), (".", b""), ("./", b""),
    special("l", tarfile.SYMTYPE, "/etc/passwd"), special("l", tarfile.SYMTYPE, "a/../b"),
    special("h", tarfile.LNKTYPE, "first"), special("c", tarfile.CHRTYPE),
    special("b", tarfile.BLKTYPE), special("p", tarfile.FIFOTYPE),
    ("link/x", b""), ("link", b""), ("dir", b""), special("file", tarfile.DIRTYPE),
    special("link", tarfile.DIRTYPE),
], ids=lambda m: repr(m[0]) if isinstance(m, tuple) else f"{m.name}-{m.type.decode()}")
def test_extract_refusals_leave_what_was_done(guest, member):
    (guest.workspace / "dir").mkdir()
    (guest.workspace / "file").touch()
    (guest.workspace / "link").symlink_to("dir")
    assert "error" in upload(guest, tar(("first", b"1"), member, ("last", b"2")))
    assert (guest.workspace / "first").exists()
    assert not (guest.workspace / "last").exists()


def test_extract_takes_inner_symlinks(guest):
    upload(guest, tar(special("l", tarfile.SYMTYPE, "a/b")))
    assert os.readlink(guest.workspace / "l") == "a/b"


def test_extract_destination_is_checked_by_text_only(guest):
    data = tar(("f", b"x"))
    assert "inside /workspace" in upload(guest, data, "/etc")["error"]
    assert "inside /workspace" in upload(guest, data, "/workspace/../etc")["error"]
    (guest.workspace / "out").symlink_to("/tmp")
    upload(guest, data, "/workspace/out/there")
    assert guest.exec("cat /tmp/there/f") == (0, "x")


def test_extract_of_nothing_is_refused(guest):
    assert "archive_size" in error(guest, {"action": "extract_archive", "archive_size": 0})


def test_error_reply_while_the_payload_is_sent(guest):
    connection = open_connection(guest)
    connection.sendall(b'{"action": "extract_archive", "destination": "/etc", '
                       b'"archive_size": 99999999}\n')
    with pytest.raises(OSError):
        for _ in range(10000):
            connection.sendall(bytes(65536))
    assert "inside /workspace" in json.loads(connection.recv(4096))["error"]
    connection.close()


# Export


def export(guest, path):
    reply = raw_call(guest.socket, {"action": "export_archive", "path": path}, b"", guest.bridge)
    header, _, data = reply.partition(b"\n")
    header = json.loads(header)
    if "error" not in header:
        assert len(data) == header["archive_size"]
    return header, data


def test_export_of_a_directory(guest):
    w = guest.workspace
    (w / "b").mkdir()
    (w / "b/two").write_text("22")
    (w / "a").write_text("1")
    (w / "l").symlink_to("/nowhere")
    os.mkfifo(w / "p")
    os.link(w / "a", w / "z")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(w / "s"))
    os.utime(w / "a", ns=(0, 1234567890123456789))
    header, data = export(guest, "/workspace")
    assert (header["artifact_type"], header["entry_count"], header["bytes_written"]) == \
        ("directory", 6, 3)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {m.name: m for m in archive}
    assert list(members) == ["a", "b", "b/two", "l", "p", "z"]
    assert members["z"].islnk() and members["z"].linkname == "a" and members["z"].size == 0
    assert members["p"].isfifo() and members["l"].linkname == "/nowhere"
    assert abs(members["a"].mtime - 1234567890.123456789) < 1e-6


def test_export_of_odd_names(guest):
    names = [b"\xff\xfe", "ünïcode".encode(), b"n" * 200]
    for name in names:
        with open(os.path.join(os.fsencode(guest.workspace), name), "w"):
            pass
    _, data = export(guest, "/workspace")
    assert b"hdrcharset=BINARY" in data
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {os.fsencode(m.name) for m in archive} == set(names)


def test_export_of_one_file_and_link(guest):
    (guest.workspace / "note.txt").write_text("hello\n")
    (guest.workspace / "l").symlink_to("note.txt")
    header, data = export(guest, "/workspace/note.txt")
    assert (header["workspace_path"], header["artifact_type"], header["entry_count"],
            header["bytes_written"]) == ("/workspace/note.txt", "file", 1, 6)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["note.txt"]
    assert export(guest, "/workspace/l")[0]["artifact_type"] == "symlink"
    assert "error" in export(guest, "/workspace/none")[0]
    assert "error" in export(guest, "/etc")[0]


# Files


def test_list(guest):
    w = guest.workspace
    (w / "d/e").mkdir(parents=True)
    (w / "d/f").write_text("abc")
    (w / "l").symlink_to("d")
    flat = ask(guest, {"action": "list_workspace", "path": "/workspace", "recursive": False})
    assert [e["path"] for e in flat["entries"]] == ["/workspace/d", "/workspace/l"]
    assert flat["entries"][1]["link_target"] == "d" and flat["artifact_type"] == "directory"
    deep = ask(guest, {"action": "list_workspace", "path": "/workspace", "recursive": True})
    assert {"path": "/workspace/d/f", "artifact_type": "file", "size_bytes": 3,
            "link_target": None} in deep["entries"]


def test_list_of_names_that_are_not_utf8(guest):
    with open(os.path.join(os.fsencode(guest.workspace), b"\xff"), "w"):
        pass
    reply = raw_call(guest.socket, {"action": "list_workspace"}, b"", guest.bridge)
    assert b"/workspace/\\udcff" in reply
    assert ask(guest, {"action": "read_workspace_file", "path": "/workspace/\udcff"})[
        "size_bytes"] == 0


def test_one_fifo_spoils_the_whole_list(guest):
    (guest.workspace / "d").mkdir()
    os.mkfifo(guest.workspace / "d/p")
    assert "unsupported" in error(guest, {"action": "list_workspace", "recursive": True})
    assert "entries" in ask(guest, {"action": "list_workspace"})


def test_read_write_delete(guest):
    path = "/workspace/f"
    here = guest.workspace / "f"
    here.write_text("old")
    inode = here.stat().st_ino
    assert ask(guest, {"action": "write_workspace_file", "path": path, "text": "né"}) == \
        {"path": path, "size_bytes": 3, "bytes_written": 3}
    assert stat.S_IMODE(here.stat().st_mode) == 0o600 and here.stat().st_ino != inode
    reply = ask(guest, {"action": "read_workspace_file", "path": path, "max_bytes": 100})
    assert base64.b64decode(reply["content_b64"]) == "né".encode()
    assert "larger" in error(guest, {"action": "read_workspace_file", "path": path,
                                     "max_bytes": 2})
    assert ask(guest, {"action": "delete_workspace_path", "path": path}) == \
        {"path": path, "deleted": True}
    (guest.workspace / "d").mkdir()
    error(guest, {"action": "delete_workspace_path", "path": "/workspace/d"})


def test_text_limit(guest):
    (guest.workspace / "big").write_bytes(bytes((1 << 20) + 1))
    error(guest, {"action": "read_workspace_file", "path": "/workspace/big",
                  "max_bytes": 1 << 30})
    error(guest, {"action": "write_workspace_file", "path": "/workspace/w",
                  "text": "x" * ((1 << 20) + 1)})


def test_secrets_replace_all(guest):
    for name in ("one", "two"):
        data = tar((name, b"s"))
        ask(guest, {"action": "install_secrets", "archive_size": len(data)}, data)
    assert guest.exec("cd /run/pyro-secrets; stat -c '%n %a' *") == (0, "two 600\n")


# Shells


def shell_text(guest, marker, **more):
    def text():
        output = ask(guest, {"action": "read_shell", "shell_id": "s", **more})["output"]
        return output if marker in output else None
    return wait_until(text, f"{marker!r} in the transcript")


def write(guest, text, **more):
    return ask(guest, {"action": "write_shell", "shell_id": "s", "input": text, **more})


def test_shell(guest):
    opened = ask(guest, {"action": "open_shell", "shell_id": "s", "cols": 77, "rows": 22,
                         "env": {"V": "val"}, "redact_values": ["hunter2"]})
    assert (opened["state"], opened["cwd"], opened["cols"], opened["exit_code"]) == \
        ("running", "/workspace", 77, None)
    assert "already exists" in error(guest, {"action": "open_shell", "shell_id": "s"})
    assert shell_text(guest, "pyro$ ").startswith("\x1b[")
    line = "stty size; echo v=${V}\u00e9 hunter2"
    assert write(guest, line)["input_length"] == len(line)
    text = shell_text(guest, "v=val\u00e9 [REDACTED]\r\n")
    assert "22 77" in text and "hunter2" not in text
    part = ask(guest, {"action": "read_shell", "shell_id": "s", "cursor": 3, "max_chars": 5})
    assert (part["output"], part["next_cursor"], part["truncated"]) == (text[3:8], 8, True)
    clamped = ask(guest, {"action": "read_shell", "shell_id": "s", "cursor": 10 ** 9})
    assert clamped["output"] == "" and clamped["cursor"] == clamped["next_cursor"]
    closed = ask(guest, {"action": "close_shell", "shell_id": "s"})
    assert closed["closed"] is True and closed["state"] == "stopped"
    assert "does not exist" in error(guest, {"action": "read_shell", "shell_id": "s"})


def test_shell_control_characters_and_signals(guest):
    ask(guest, {"action": "open_shell", "shell_id": "s"})
    write(guest, "sleep 100; echo rc=$?")
    shell_text(guest, "sleep 100; echo rc=$?\r\n")
    sleeps = "grep -qsx sleep /proc/[0-9]*/comm"
    wait_until(lambda: guest.exec(sleeps)[0] == 0, "the job runs")
    ask(guest, {"action": "signal_shell", "shell_id": "s", "signal": "INT"})
    assert guest.exec(sleeps)[0] == 0  # the job has a group of its own
    write(guest, "\x03", append_newline=False)
    wait_until(lambda: guest.exec(sleeps)[0] != 0, "Ctrl-C reaches the job")
    ask(guest, {"action": "signal_shell", "shell_id": "s", "signal": "TERM"})
    write(guest, "echo still")
    shell_text(guest, "\rstill\r\n")
    assert "signal" in error(guest, {"action": "signal_shell", "shell_id": "s", "signal": "X"})


def test_shell_that_ended_is_stopped_until_closed(guest):
    ask(guest, {"action": "open_shell", "shell_id": "s"})
    write(guest, "exit 7")
    shell_text(guest, "exit 7")
    done = wait_until(lambda: (r := ask(guest, {"action": "read_shell", "shell_id": "s"}))[
        "state"] == "stopped" and r, "the shell ends")
    assert done["exit_code"] == 7 and done["ended_at"] and "exit 7" in done["output"]
    assert "already exists" in error(guest, {"action": "open_shell", "shell_id": "s"})
    ask(guest, {"action": "close_shell", "shell_id": "s"})
    ask(guest, {"action": "open_shell", "shell_id": "s"})


def test_shell_transcript_counts_characters_and_replaces(guest):
    ask(guest, {"action": "open_shell", "shell_id": "s"})
    write(guest, r"printf '\377\303\251!%s\n' end")
    text = shell_text(guest, "!end\r\n")
    assert "\ufffd\u00e9!end" in text


def test_canonical_line_is_cut(guest):
    ask(guest, {"action": "open_shell", "shell_id": "s"})
    write(guest, "cat >/workspace/got; echo done")
    shell_text(guest, "echo done\r\n")
    wait_until((guest.workspace / "got").exists, "cat runs")
    for _ in range(5):
        write(guest, "x" * 1024, append_newline=False)
    write(guest, "")
    write(guest, "\x04", append_newline=False)
    shell_text(guest, "\ndone\r\n")
    assert (guest.workspace / "got").stat().st_size == 4096  # 4,095 and the newline


# Services


def start(guest, command, name="app", **more):
    return ask(guest, {"action": "start_service", "service_name": name, "command": command,
                       **more})


def status(guest, name="app"):
    return ask(guest, {"action": "status_service", "service_name": name})


def test_service_is_reaped_only_by_a_later_exec_or_start(guest):
    record = start(guest, "echo out; echo err >&2; exit 3")
    assert record["state"] == "running" and record["ready_at"] and record["pid"] > 0
    wait_until(lambda: b"Z" == guest_state(guest, record["pid"]), "the service ends")
    assert status(guest)["state"] == "running"
    assert status(guest)["state"] == "running"
    guest.exec("true")
    assert (status(guest)["state"], status(guest)["exit_code"]) == ("exited", 3)
    logs = ask(guest, {"action": "logs_service", "service_name": "app", "tail_lines": None})
    assert (logs["stdout"], logs["stderr"], logs["truncated"]) == ("out\n", "err\n", False)


def guest_state(guest, pid):
    """The state letter of a process whose PID in the guest is PID, seen from outside."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/status", "rb") as source:
                    lines = dict(line.split(b":\t", 1) for line in source.read().splitlines()
                                 if b":\t" in line)
                with open(f"/proc/{lines[b'PPid'].decode()}/cmdline", "rb") as source:
                    parent = source.read()
            except (FileNotFoundError, ProcessLookupError, ValueError):
                continue
            if lines[b"NSpid"].split()[-1] == str(pid).encode() and b"reference_agent" in parent \
                    and guest.socket.encode() in parent:
                return lines[b"State"][:1]
    return None


@pytest.mark.options("--stop-wait", "0.5")
def test_a_stop_takes_its_time_and_says_sigkill(guest):
    start(guest, "sleep 100")
    started = time.monotonic()
    record = ask(guest, {"action": "stop_service", "service_name": "app"})
    assert (record["state"], record["stop_reason"]) == ("stopped", "sigkill")
    assert time.monotonic() - started >= 0.5


@pytest.mark.options("--stop-wait", "0.5")
def test_readiness_timeout(guest):
    started = time.monotonic()
    record = start(guest, "sleep 100", readiness={"type": "file", "path": "/workspace/never"},
                   ready_timeout_seconds=0.5, ready_interval_ms=50)
    assert (record["state"], record["stop_reason"]) == ("failed", "readiness_timeout")
    assert time.monotonic() - started >= 1.0


@pytest.mark.options("--stop-wait", "0.1")
def test_a_service_that_exits_before_it_is_ready_only_times_out(guest):
    record = start(guest, "exit 1", readiness={"type": "file", "path": "/workspace/never"},
                   ready_timeout_seconds=0.5, ready_interval_ms=50)
    assert record["stop_reason"] == "readiness_timeout"


def test_readiness_kinds(guest):
    start(guest, "sleep 0.2; touch .ready; sleep 100", "f", ready_interval_ms=20,
          readiness={"type": "file", "path": "/workspace/.ready"})
    assert (guest.workspace / ".ready").exists()
    again = time.monotonic()  # a stale file counts at once
    start(guest, "sleep 5", "g", readiness={"type": "file", "path": "/workspace/.ready"})
    assert time.monotonic() - again < 2
    start(guest, "sleep 0.2; touch here; sleep 100", "c", ready_interval_ms=20,
          readiness={"type": "command", "command": "test -e here"})
    server = "exec /usr/bin/python3 -m http.server --bind 127.0.0.1 "
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert start(guest, server + str(port), "h", ready_interval_ms=50, readiness={
        "type": "http", "url": f"http://127.0.0.1:{port}/"})["ready_at"]
    assert start(guest, "sleep 100", "t", readiness={
        "type": "tcp", "address": f"127.0.0.1:{port}"})["ready_at"]


@pytest.mark.options("--probe-limit", "0.2")
@pytest.mark.parametrize("readiness", [
    {"type": "nonsense"}, {"type": "tcp", "address": "nowhere"}, {"type": "http", "url": "::"},
    {"type": "command", "command": "sleep 5"}], ids=lambda r: r["type"])
def test_a_probe_that_breaks_leaves_the_service_running(guest, readiness):
    assert "error" in start(guest, "sleep 100", readiness=readiness)
    assert status(guest)["state"] == "running"


def test_service_names(guest):
    for bad in ("", "-x", "a/b", "x" * 65, "a b"):
        assert "service name" in start(guest, "true", bad)["error"]
    assert start(guest, "true", "  trimmed ")["service_name"] == "trimmed"
    assert "does not exist" in status(guest, "unknown")["error"]


def test_tail_lines(guest):
    start(guest, r"printf '1\r\n2\n3\n\377'")
    wait_until(lambda: logs(guest, 1)["stdout"] == "\ufffd", "the last line")
    assert logs(guest, 2)["stdout"] == "3\n\ufffd" and logs(guest, 2)["truncated"] is True
    for everything in (0, None):
        assert logs(guest, everything)["stdout"] == "1\n2\n3\n\ufffd"
        assert logs(guest, everything)["truncated"] is False


def logs(guest, lines):
    return ask(guest, {"action": "logs_service", "service_name": "app", "tail_lines": lines})


def test_start_truncates_the_logs_and_refuses_a_second(guest):
    start(guest, "echo one; sleep 100")
    assert "already running" in start(guest, "true")["error"]
