"""Control files: services, shells, commands, guests, and the rules that hold for all."""

import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest
from harness import PATIENCE, fails, get, is_mounted, keyed, put, raw_call, sh, text, wait_until

pytestmark = [pytest.mark.core, pytest.mark.limit(40)]


def make(m, kind, name="x"):
    path = m.g / kind / name
    os.mkdir(path)
    return path


def ctl(path, *lines):
    put(path / "ctl", "".join(line + "\n" for line in lines))


def errors(path):
    return text(path / "error")


def read_until(fd, marker, seconds=PATIENCE):
    """Reads a blocking file as it comes, waiting with poll(2), until MARKER was seen."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    data, deadline = b"", time.monotonic() + seconds
    while marker not in data:
        assert poll.poll(max(0, deadline - time.monotonic()) * 1000), f"only {data!r} came"
        piece = os.read(fd, 65536)
        assert piece, f"ended after {data!r}"
        data += piece
    return data


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# The tree


def test_the_tree(m):
    assert sorted(os.listdir(m.point)) == ["box", "ctl", "error", "metrics", "status", "version"]
    assert sorted(os.listdir(m.g)) == ["ctl", "error", "events", "exec", "services", "shells",
                                       "status", "workspace"]
    assert os.listdir(m.g / "services") == []
    assert os.listdir(m.g / "shells") == os.listdir(m.g / "exec") == ["clone"]
    make(m, "services")
    make(m, "shells")
    make(m, "exec")
    assert sorted(os.listdir(m.g / "services/x")) == ["ctl", "error", "status", "stderr",
                                                      "stdout", "wait"]
    assert sorted(os.listdir(m.g / "shells/x")) == ["cons", "ctl", "error", "output", "status",
                                                    "text", "wait"]
    assert sorted(os.listdir(m.g / "exec/x")) == ["ctl", "error", "exit_code", "status", "stderr",
                                                  "stdin", "stdout", "wait"]
    assert re.fullmatch(r"(vsockfs )?\d+\.\d+\.\d+\S*\n", text(m.point / "version"))
    assert keyed(m.point / "status") and keyed(m.g / "status")
    assert text(m.point / "metrics")
    assert errors(m.g) == ""


def test_nothing_else_can_be_made(m):
    for where in (m.point, m.g, make(m, "exec")):
        for attempt in (lambda w=where: put(w / "new", "x"), lambda w=where: os.mkdir(w / "new"),
                        lambda w=where: os.symlink("a", w / "new")):
            with pytest.raises(OSError) as caught:
                attempt()
            assert caught.value.errno in (errno.EPERM, errno.EACCES), where
    for fixed in (m.g / "ctl", m.g / "exec/x/stdout", m.point / "status"):
        with pytest.raises(OSError) as caught:
            os.unlink(fixed)
        assert caught.value.errno in (errno.EPERM, errno.EACCES)
    for fixed in (m.g, m.g / "exec", m.g / "workspace"):
        with pytest.raises(OSError) as caught:
            os.rmdir(fixed)
        assert caught.value.errno in (errno.EPERM, errno.EACCES, errno.EBUSY, errno.ENOTEMPTY)


@pytest.mark.parametrize("kind", ["services", "exec", "shells"])
def test_names(m, kind):
    for bad in ("-x", ".hidden", "a b", "a\nb", "x" * 65, "ünï"):
        with fails(errno.EINVAL):
            os.mkdir(m.g / kind / bad)
    make(m, kind, "Good.name_1-2")
    make(m, kind, "x" * 64)
    with fails(errno.EEXIST):
        make(m, kind, "x" * 64)
    with fails(errno.ENOENT):
        os.rmdir(m.g / kind / "nobody")


# The rules of ctl


def test_unknown_verbs_and_bad_arguments(m):
    for kind, bad in (("exec", "frobnicate"), ("exec", "timeout soon"), ("exec", "timeout -1"),
                      ("exec", "run"), ("exec", "open"), ("services", "ready maybe"),
                      ("services", "ready tcp nowhere"), ("services", "ready file"),
                      ("services", "ready-timeout x"), ("services", "start"),
                      ("services", "env 1A=x"), ("shells", "size 80"), ("shells", "size 0 0"),
                      ("shells", "signal NOPE"), ("shells", "env novalue"), ("shells", "cwd")):
        path = m.g / kind / "x"
        if not path.exists():
            os.mkdir(path)
        with fails(errno.EINVAL):
            ctl(path, bad)
        assert "1" in errors(path), bad
        assert len(errors(path).splitlines()) == 1
    for where, bad in ((m.g, "frobnicate"), (m.g, "sync now"), (m.point, "frobnicate"),
                       (m.point, "attach"), (m.point, "attach x=nonsense:1"),
                       (m.point, "detach")):
        with fails(errno.EINVAL):
            ctl(where, bad)
    with fails(errno.ENOENT):
        ctl(m.point, "detach nobody")


def test_the_first_bad_line_stops_the_rest(m):
    path = make(m, "exec")
    with fails(errno.EINVAL):
        ctl(path, "env A=kept", "nonsense here", "env B=never")
    settings = text(path / "ctl")
    assert "env A=kept\n" in settings and "B=never" not in settings
    assert re.search(r"\b2\b", errors(path)) and "nonsense" in errors(path)
    ctl(path, "run true")
    assert text(path / "exit_code") == "0\n"


def test_the_first_bad_line_stops_the_rest_of_a_shells_printf(m):
    """bash gives each line a write of its own, and goes on after one that failed."""
    path = make(m, "exec")
    done = subprocess.run(["bash", "-c", r"printf 'nonsense\nenv A=1\nstart true\n' > ctl"],
                          cwd=path, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "Invalid argument" in done.stderr
    assert "A=1" not in text(path / "ctl")
    assert keyed(path / "status")["state"] == "new"
    assert errors(path).startswith("line 1: ") and "nonsense" in errors(path)
    # A shell that keeps the file open begins anew with each redirection.
    script = "exec 3>ctl; echo nonsense >&3; echo 'env B=2' >&3; printf 'run echo $B\\n' >&3"
    sh(script.replace("nonsense >&3", "nonsense >&3 || :"), path)
    assert text(path / "stdout") == "2\n"
    # A program that keeps it does so by closing a descriptor.
    fd = os.open(path / "ctl", os.O_WRONLY)
    for line in (b"nonsense\n", b"env C=3\n", b"env C="):
        with fails(errno.EINVAL):
            os.write(fd, line)
    os.close(os.dup(fd))
    os.write(fd, b"env D=4\n")
    os.close(fd)
    settings = text(path / "ctl")
    assert "env D=4\n" in settings and "env C=" not in settings


def test_lines_may_come_in_pieces(m):
    path = make(m, "exec")
    fd = os.open(path / "ctl", os.O_WRONLY)
    for piece in (b"env A=on", b"e\nenv ", b"B=two\nrun ec", b"ho $A $B\n"):
        assert os.write(fd, piece) == len(piece)
    os.close(fd)
    assert text(path / "stdout") == "one two\n"


def test_a_last_line_without_a_newline_counts(m):
    path = make(m, "exec")
    put(path / "ctl", "env A=1\nrun echo $A")
    assert text(path / "stdout") == "1\n"
    with fails(errno.EINVAL):
        put(path / "ctl", "nonsense")


def test_shell_redirections_both_work(m):
    path = make(m, "exec")
    sh("echo 'env A=1' > ctl; echo 'env B=2' >> ctl; printf 'run echo $A$B' > ctl", path)
    assert text(path / "stdout") == "12\n"
    # echo itself fails when the verb fails.
    done = subprocess.run(["/bin/sh", "-c", "echo nonsense > ctl"], cwd=path, check=False,
                          capture_output=True)
    assert done.returncode != 0
    done = subprocess.run(["bash", "-c", "echo nonsense >> ctl"], cwd=path, check=False,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "Invalid argument" in done.stderr


def test_empty_lines_do_nothing(m):
    path = make(m, "exec")
    put(path / "ctl", "\n\nenv A=1\n\n")
    assert "env A=1\n" in text(path / "ctl")


def test_reading_ctl_gives_the_lines_that_recreate_it(m):
    for kind, lines in (
            ("exec", ["cwd /workspace/sub", "env A=with space", "env B=", "timeout 12"]),
            ("services", ["cwd /tmp", "env A=q=r", "ready file /workspace/.ready",
                          "ready-timeout 7", "ready-interval 120"]),
            ("services", ["ready tcp 127.0.0.1:80"]), ("services", ["ready http http://x/y?z"]),
            ("services", ["ready command test -e a && true"]),
            ("shells", ["cwd /", "env T=1", "size 132 50"])):
        one, two = make(m, kind, "one"), make(m, kind, "two")
        ctl(one, *lines)
        settings = text(one / "ctl")
        for line in lines:
            assert line + "\n" in settings
        put(two / "ctl", settings)
        assert text(two / "ctl") == settings
        os.rmdir(one)
        os.rmdir(two)


@pytest.mark.parametrize("value", ["it's", 'say "x"', "back\\slash", " blanks ", "new\\nline", ""])
def test_quoted_values_come_back(m, value):
    """Single quotes as in a shell; what ctl then shows gives the same value again."""
    one, two = make(m, "exec", "one"), make(m, "exec", "two")
    if "'" in value:
        ctl(one, f'env "V={value}"')
    else:
        ctl(one, f"env 'V={value}'")
    put(two / "ctl", text(one / "ctl"))
    for path in (one, two):
        ctl(path, 'run printf "[%s]" "$V"')
        assert text(path / "stdout") == f"[{value}]"


def test_a_line_too_long_is_refused(m):
    path = make(m, "exec")
    with pytest.raises(OSError) as caught:
        put(path / "ctl", "run true " + "x" * 200000 + "\n")
    assert caught.value.errno in (errno.EINVAL, errno.E2BIG, errno.EMSGSIZE)
    ctl(path, "run true")


# Commands


@pytest.mark.every
def test_run(m):
    path = make(m, "exec")
    ctl(path, "run echo out; echo err >&2; exit 3")
    assert text(path / "stdout") == "out\n"
    assert text(path / "stderr") == "err\n"
    assert text(path / "exit_code") == "3\n"
    assert text(path / "wait") == "3\n"
    assert os.stat(path / "stdout").st_size == 4
    assert keyed(path / "status")["exit_code"] == "3"
    assert errors(path) == ""


def test_run_again(m):
    path = make(m, "exec")
    ctl(path, "run echo first, and longer; exit 1")
    ctl(path, "run echo second")
    assert (text(path / "stdout"), text(path / "exit_code")) == ("second\n", "0\n")


def test_run_in_the_workspace_with_settings(m):
    os.mkdir(m.w / "sub")
    path = make(m, "exec")
    ctl(path, "run pwd")
    assert text(path / "stdout") == "/workspace\n"
    ctl(path, "cwd /workspace/sub", "env \"GREETING=hello 'wörld'  $HOME\"", "run pwd; echo \"$GREETING\"")
    assert text(path / "stdout") == "/workspace/sub\nhello 'wörld'  $HOME\n"
    ctl(path, "cwd /none")
    with pytest.raises(OSError):
        ctl(path, "run true")
    assert errors(path)


def test_stdin(m):
    path = make(m, "exec")
    put(path / "stdin", "b\na\n")
    ctl(path, "run sort")
    assert text(path / "stdout") == "a\nb\n"
    other = make(m, "exec", "none")
    ctl(other, "run cat; echo ended")
    assert text(other / "stdout") == "ended\n"


def test_bytes_are_bytes(m):
    everything = bytes(range(256)) * 40 + b"\r\n\r\xff\xc3"
    path = make(m, "exec")
    put(path / "stdin", everything)
    ctl(path, "run cat; cat /dev/null >&2")
    assert get(path / "stdout") == everything
    ctl(path, r"run printf 'a\r\n\377\0b'; printf '\376' >&2")
    assert (get(path / "stdout"), get(path / "stderr")) == (b"a\r\n\xff\0b", b"\xfe")


def test_large_output(m):
    path = make(m, "exec")
    ctl(path, "run i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done")
    expected = "".join(f"line {i}\n" for i in range(60000))
    assert text(path / "stdout") == expected
    assert os.stat(path / "stdout").st_size == len(expected)
    assert sh("grep -c 9999 stdout; tail -n 1 stdout; wc -c < stdout", path) == \
        f"6\nline 59999\n{len(expected)}\n"


def test_commands_with_everything_in_them(m):
    path = make(m, "exec")
    ctl(path, "run echo 'single' \"double $((1+1))\" \\\\ `echo back` $(echo sub) | tr a-z A-Z; # end")
    assert text(path / "stdout") == "SINGLE DOUBLE 2 \\ BACK SUB\n"
    ctl(path, "run echo " + "y" * 20000)
    assert len(text(path / "stdout")) == 20001
    ctl(path, "run kill -9 $$")
    assert text(path / "exit_code") == "137\n"
    ctl(path, "run no-such-program")
    assert text(path / "exit_code") == "127\n"


def test_files_before_and_after_a_verb(m):
    """Written before: in the guest when the verb runs.  Changed by it: visible when it returns."""
    path = make(m, "exec")
    assert not os.path.exists(m.w / "made")
    fd = os.open(m.w / "in", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"not closed yet")
    ctl(path, "run cat in; cp in made; rm -f old")
    assert text(path / "stdout") == "not closed yet"
    assert text(m.w / "made") == "not closed yet"
    assert "made" in os.listdir(m.w)
    os.close(fd)
    for turn in range(5):
        ctl(path, f"run echo {'x' * turn}{turn} > made")
        assert text(m.w / "made") == f"{'x' * turn}{turn}\n"
        assert os.stat(m.w / "made").st_size == turn + 2


def test_start_wait_and_growing_output(m):
    path = make(m, "exec")
    ctl(path, "start echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 5")
    wait_until(lambda: text(path / "stdout") == "one\n", "the first line")
    assert keyed(path / "status")["state"] == "running"
    with fails(errno.EBUSY):
        ctl(path, "run true")
    with fails(errno.EBUSY):
        ctl(path, "start true")
    waiter = subprocess.Popen(["cat", path / "wait"], stdout=subprocess.PIPE)
    put(m.w / "go", "")
    assert waiter.communicate(timeout=PATIENCE)[0] == b"5\n"
    assert text(path / "stdout") == "one\ntwo\n"
    assert text(path / "exit_code") == "5\n"


def test_kill(m):
    path = make(m, "exec")
    ctl(path, "start trap 'echo caught; exit 9' TERM; echo ready; sleep 100 & wait")
    wait_until(lambda: text(path / "stdout") == "ready\n", "the trap is set")
    ctl(path, "kill TERM")
    assert text(path / "wait") == "9\n"
    assert "caught" in text(path / "stdout")
    with pytest.raises(OSError) as caught:
        ctl(path, "kill")
    assert caught.value.errno in (errno.EBUSY, errno.ESRCH, errno.ENOENT)
    other = make(m, "exec", "hard")
    ctl(other, "start sleep 100", "kill KILL")
    assert text(other / "wait") == "137\n"


def test_exec_timeout(m):
    path = make(m, "exec")
    started = time.monotonic()
    ctl(path, "timeout 1", "run echo begun; sleep 100")
    assert time.monotonic() - started < 15
    assert text(path / "exit_code") == "124\n"
    assert text(path / "stdout") == "begun\n"


def test_rmdir_ends_a_command(m):
    path = make(m, "exec")
    ctl(path, "start echo $$ > pid; exec sleep 1000")
    pid = wait_until(lambda: os.path.exists(m.w / "pid") and text(m.w / "pid").strip(), "its pid")
    os.rmdir(path)
    assert os.listdir(m.g / "exec") == ["clone"]
    probe = make(m, "exec", "probe")

    def ended():
        ctl(probe, f"run kill -0 {pid} 2>/dev/null && ! grep -q Z /proc/{pid}/stat")
        return text(probe / "exit_code") != "0\n"
    wait_until(ended, "the process is gone")


def test_clone(m):
    fd = os.open(m.g / "exec/clone", os.O_RDWR)
    number = os.read(fd, 100).decode()
    assert re.fullmatch(r"\d+\n", number)
    path = m.g / "exec" / number.strip()
    assert path.name in os.listdir(m.g / "exec")
    os.write(fd, b"run echo through clone\n")
    assert text(path / "stdout") == "through clone\n"
    other = os.open(m.g / "exec/clone", os.O_RDWR)
    assert os.read(other, 100).decode() != number
    os.close(fd)
    os.close(other)
    shell = os.open(m.g / "shells/clone", os.O_RDWR)
    assert (m.g / "shells" / os.read(shell, 100).decode().strip()).is_dir()
    os.close(shell)


# Services


@pytest.mark.every
def test_service(m):
    path = make(m, "services", "app")
    ctl(path, "start echo up; echo err >&2; exec sleep 1000")
    status = keyed(path / "status")
    assert (status["state"], status["service_name"]) == ("running", "app")
    assert float(status["started_at"]) > 1e9 and int(status["pid"]) > 0
    wait_until(lambda: text(path / "stdout") == "up\n", "its output")
    assert text(path / "stderr") == "err\n"
    assert os.stat(path / "stdout").st_size == 3
    with fails(errno.EBUSY):
        ctl(path, "start true")
    ctl(path, "stop")
    status = keyed(path / "status")
    assert (status["state"], status["stop_reason"]) in (("stopped", "sigterm"),
                                                        ("stopped", "sigkill"))
    assert text(path / "stdout") == "up\n"
    os.rmdir(path)
    assert "app" not in os.listdir(m.g / "services")


def test_service_ready_file(m):
    path = make(m, "services", "app")
    ctl(path, "ready file /workspace/.ready", "ready-timeout 10", "ready-interval 20",
        "start sleep 0.3; echo ready > .ready; exec sleep 1000")
    assert text(m.w / ".ready") == "ready\n"
    assert float(keyed(path / "status")["ready_at"]) > 1e9


def test_service_ready_command(m):
    path = make(m, "services", "app")
    ctl(path, "cwd /workspace", "ready command test -e here && echo noise", "ready-interval 20",
        "start sleep 0.2; touch here; exec sleep 1000")
    assert os.path.exists(m.w / "here")


@pytest.mark.parametrize("kind", ["tcp", "http"])
@pytest.mark.options("local_net")
def test_service_ready_network(m, kind):
    port = free_port()
    path = make(m, "services", "web")
    probe = f"tcp 127.0.0.1:{port}" if kind == "tcp" else f"http http://127.0.0.1:{port}/index"
    put(m.w / "index", "x")
    ctl(path, f"ready {probe}", "ready-interval 50", "ready-timeout 20",
        f"start exec /usr/bin/python3 -m http.server --bind 127.0.0.1 {port}")
    assert keyed(path / "status")["state"] == "running"
    assert float(keyed(path / "status")["ready_at"]) > 1e9


def test_service_never_ready(m):
    path = make(m, "services", "app")
    with fails(errno.ETIMEDOUT):
        ctl(path, "ready file /workspace/never", "ready-timeout 1", "ready-interval 20",
            "start echo tried; exec sleep 1000")
    status = keyed(path / "status")
    assert (status["state"], status["stop_reason"]) == ("failed", "readiness_timeout")
    assert "ready" in errors(path) and re.search(r"\b4\b", errors(path))
    assert text(path / "stdout") == "tried\n"


def test_service_exits_before_it_is_ready(m):
    path = make(m, "services", "app")
    started = time.monotonic()
    with fails(errno.EIO):
        ctl(path, "ready file /workspace/never", "ready-timeout 30", "ready-interval 20",
            "start echo bye; exit 4")
    assert time.monotonic() - started < 15
    status = keyed(path / "status")
    assert status["stop_reason"] == "process_exited_before_ready"
    assert "ready" in errors(path) and "4" in errors(path)
    assert text(path / "stdout") == "bye\n"


def test_service_end_is_seen(m):
    path = make(m, "services", "app")
    ctl(path, "start exit 6")
    assert text(path / "wait") == "6\n"
    status = keyed(path / "status")
    assert (status["state"], status["exit_code"]) == ("exited", "6")
    ctl(path, "start echo again; exec sleep 1000")  # a name can be used again
    wait_until(lambda: text(path / "stdout") == "again\n", "the second life's output")
    assert keyed(path / "status")["state"] == "running"


def test_service_settings_and_bytes(m):
    os.mkdir(m.w / "sub")
    path = make(m, "services", "app")
    ctl(path, "cwd /workspace/sub", "env \"A=x 'y'\"", r"start pwd; echo $A; printf '\377\r\n\0'")
    assert text(path / "wait") == "0\n"
    assert get(path / "stdout") == b"/workspace/sub\nx 'y'\n\xff\r\n\0"


def test_service_stop_of_nothing(m):
    path = make(m, "services", "app")
    with pytest.raises(OSError) as caught:
        ctl(path, "stop")
    assert caught.value.errno in (errno.EBUSY, errno.ENOENT)


def test_rmdir_stops_a_service(m):
    path = make(m, "services", "app")
    ctl(path, "start echo $$ > pid; exec sleep 1000")
    pid = wait_until(lambda: os.path.exists(m.w / "pid") and text(m.w / "pid").strip(), "its pid")
    os.rmdir(path)
    probe = make(m, "exec", "probe")
    ctl(probe, f"run kill -0 {pid} 2>/dev/null && ! grep -q Z /proc/{pid}/stat")
    assert text(probe / "exit_code") != "0\n"


@pytest.mark.backends("unix", "reference", "reference-bridge")
def test_services_of_others_appear_by_name(m):
    reply = json.loads(raw_call(m.guest.socket, {
        "action": "start_service", "service_name": "theirs", "command": "echo x; exec sleep 100",
        "cwd": "/workspace", "readiness": None, "ready_timeout_seconds": 5,
        "ready_interval_ms": 100, "env": None}, bridge=m.guest.bridge))
    assert reply["state"] == "running"
    with fails(errno.ENOENT):
        os.stat(m.g / "services/nobody")
    path = m.g / "services/theirs"
    assert keyed(path / "status")["state"] == "running"
    assert keyed(path / "status")["pid"] == str(reply["pid"])
    wait_until(lambda: text(path / "stdout") == "x\n", "its output")
    assert "theirs" in os.listdir(m.g / "services")
    ctl(path, "stop")
    assert keyed(path / "status")["state"] == "stopped"


# Shells


@pytest.fixture
def shell(m):
    path = make(m, "shells")
    fd = os.open(path / "cons", os.O_RDWR)  # opening cons opens the shell
    yield path, fd
    os.close(fd)


def test_shell(m, shell):
    path, fd = shell
    assert keyed(path / "status")["state"] == "running"
    os.write(fd, b"echo $((6*7)); pwd\n")
    assert b"42\r\n/workspace\r\n" in read_until(fd, b"/workspace\r\n")
    os.write(fd, "echo ünï\n".encode())
    read_until(fd, "ünï\r\n".encode())
    transcript = text(path / "output")
    assert "42\r\n" in transcript
    assert os.stat(path / "output").st_size == len(transcript.encode())
    plain = text(path / "text")
    assert "\x1b" not in plain and "\r" not in plain and "42\n/workspace\n" in plain
    ctl(path, "close")
    assert keyed(path / "status")["state"] == "stopped"
    assert "42" in text(path / "output")  # what was said stays readable


def test_shell_gives_each_character_once(m, shell):
    path, fd = shell
    os.write(fd, b"for i in $(seq 1 2000); do echo number $i; done; echo 'E''ND'\n")
    seen = read_until(fd, b"END\r\n")
    for number in range(1, 2001):
        assert seen.count(b"number %d\r\n" % number) == 1


def test_shell_end(m, shell):
    path, fd = shell
    waiter = subprocess.Popen(["cat", path / "wait"], stdout=subprocess.PIPE)
    os.write(fd, b"exit 7\n")
    assert waiter.communicate(timeout=PATIENCE)[0] == b"7\n"
    while os.read(fd, 65536):  # the rest, and then the end
        pass
    status = keyed(path / "status")
    assert (status["state"], status["exit_code"]) == ("stopped", "7")
    with pytest.raises(OSError):
        os.write(fd, b"echo too late\n")


def interrupt_a_job(m, fd):
    """^C ends what runs in the foreground of the shell behind FD, and the shell goes on."""
    os.write(fd, b"sh -c 'touch started; exec sleep 1000'\n")
    # The line's echo is not enough: only the job's own doing shows that the terminal is the job's.
    wait_until((m.guest.workspace / "started").exists, "the job runs")
    os.write(fd, b"\x03")
    os.write(fd, b"echo on''ward\n")
    read_until(fd, b"onward\r\n")


def test_shell_control_c_reaches_the_job(m, shell):
    interrupt_a_job(m, shell[1])


def test_control_c_when_the_agent_was_started_in_the_background(yard):
    """`vsockfs-agent &` in a boot script ignores SIGINT and SIGQUIT; its shells must not."""
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        guest = yard.guest("unix")
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)
    m = yard.mount(guest)
    path = make(m, "shells")
    fd = os.open(path / "cons", os.O_RDWR)
    interrupt_a_job(m, fd)
    os.close(fd)
    command = make(m, "exec")
    ctl(command, "start exec sleep 1000", "kill TERM")
    assert text(command / "wait") == "143\n"


def test_shell_settings(m):
    os.mkdir(m.w / "sub")
    path = make(m, "shells")
    ctl(path, "size 77 22", "cwd /workspace/sub", "env V=val", "open")
    assert keyed(path / "status")["cols"] == "77"
    fd = os.open(path / "cons", os.O_RDWR)
    os.write(fd, b"stty size; pwd; echo $V; echo 'E''ND'\n")
    seen = read_until(fd, b"END\r\n")
    assert b"22 77\r\n/workspace/sub\r\nval\r\n" in seen
    with fails(errno.EBUSY):
        ctl(path, "open")
    if keyed(m.g / "status")["dialect"] == "line":
        with fails(errno.ENOTSUP):
            ctl(path, "size 80 24")
        assert "stty" in errors(path)
    else:
        ctl(path, "size 80 24")
        os.write(fd, b"stty size\n")
        read_until(fd, b"24 80\r\n")
        assert keyed(path / "status")["rows"] == "24"
    os.close(fd)


def test_shell_signal_and_states(m):
    path = make(m, "shells")
    for verb in ("signal INT", "close"):
        with fails(errno.EBUSY):
            ctl(path, verb)
    ctl(path, "open")
    wait_for_quiet(path)  # a bash that is still starting may miss it
    ctl(path, "signal HUP")
    assert text(path / "wait") != ""
    assert keyed(path / "status")["state"] == "stopped"


def test_shell_long_input(m, shell):
    """Far more than one request, or one canonical line, takes."""
    _, fd = shell
    os.write(fd, b"cat > got\n")
    read_until(fd, b"cat > got\r\n")
    lines = b"".join(b"%06d %s\n" % (number, b"x" * 60) for number in range(300))
    written = 0

    def feed():
        nonlocal written
        while written < len(lines):
            written += os.write(fd, lines[written:])
        os.write(fd, b"\x04")
        os.write(fd, b"echo 'E''ND'\n")

    feeder = threading.Thread(target=feed)
    feeder.start()
    read_until(fd, b"END\r\n", 60)
    feeder.join()
    assert get(m.w / "got") == lines


def test_text_shows_what_a_person_would_see(m, shell):
    path, fd = shell
    os.write(fd, rb"printf 'over\rOVER\n\033[31mred\033[0m\n10%%\r20%%\r100%%\nba\bx\n'; echo 'E''ND'" + b"\n")
    read_until(fd, b"END\r\n")
    plain = text(path / "text")
    assert "\nOVER\nred\n100%\nbx\nEND\n" in plain


def test_rmdir_closes_a_shell(m, shell):
    path, fd = shell
    os.write(fd, b"echo $$ > pid\n")
    pid = wait_until(lambda: os.path.exists(m.w / "pid") and text(m.w / "pid").strip(), "its pid")
    os.rmdir(path)
    assert os.listdir(m.g / "shells") == ["clone"]
    probe = make(m, "exec", "probe")

    def ended():
        ctl(probe, f"run kill -0 {pid} 2>/dev/null && ! grep -q Z /proc/{pid}/stat")
        return text(probe / "exit_code") != "0\n"
    wait_until(ended, "the shell is gone")


# Blocking files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL],
                         ids=["INT", "TERM", "KILL"])
def test_signals_end_a_blocked_reader(m, shell, number):
    path, fd = shell
    os.write(fd, b"echo $((20+3))\n")
    read_until(fd, b"23\r\n")
    for name in ("cons", "wait"):
        reader = subprocess.Popen(["cat", path / name], stdout=subprocess.PIPE)
        wait_until(lambda r=reader: blocked(r.pid), f"cat {name} blocks in its read")
        reader.send_signal(number)
        assert reader.wait(5) == -number
    # And nothing that comes later was lost to the one that left.
    os.write(fd, b"echo $((20+4))\n")
    read_until(fd, b"24\r\n")


def blocked(pid):
    """Whether a process sleeps in a FUSE request of a read."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as source:
        words = source.read().split()
    with open(f"/proc/{pid}/stat", encoding="ascii") as source:
        state = source.read().rsplit(")", 1)[1].split()[0]
    return words[0] == "0" and state in "SD"


def test_a_signal_ends_a_start(m):
    path = make(m, "services")
    starter = subprocess.Popen(["bash", "-c", "printf 'ready file never\\nstart sleep 1000\\n' > $0/ctl",
                                path], stderr=subprocess.DEVNULL)
    wait_until(lambda: keyed(path / "status")["state"] == "starting", "the service starts")
    starter.send_signal(signal.SIGINT)
    starter.wait(PATIENCE)
    assert errors(path) == ("line 2: start: interrupted before the service was ready; "
                            "it is stopped\n")
    # As soon as a guest that is asked one thing at a time can be.
    wait_until(lambda: keyed(path / "status")["state"] in ("stopped", "exited", "failed", "new"),
               "it is stopped")


def test_nonblocking_and_poll(m, shell):
    path, fd = shell
    os.write(fd, b"echo $((30+1))\n")
    read_until(fd, b"31\r\n")
    wait_for_quiet(path)
    other = os.open(path / "cons", os.O_RDWR | os.O_NONBLOCK)
    with fails(errno.EAGAIN):
        while os.read(other, 65536):
            pass
    poll = select.poll()
    poll.register(other, select.POLLIN | select.POLLOUT)
    assert dict(poll.poll(0))[other] & select.POLLIN == 0
    os.write(fd, b"sleep 0.2; echo $((30+2))\n")
    read_until(other, b"32\r\n")
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)
    with fails(errno.EAGAIN):
        while os.read(fd, 65536):
            pass
    os.close(other)
    waiting = os.open(path / "wait", os.O_RDONLY | os.O_NONBLOCK)
    with fails(errno.EAGAIN):
        os.read(waiting, 100)
    poll = select.poll()
    poll.register(waiting, select.POLLIN)
    assert poll.poll(0) == []
    os.write(fd, b"exit\n")
    assert poll.poll(PATIENCE * 1000)
    assert os.read(waiting, 100) == b"0\n"
    os.close(waiting)


def wait_for_quiet(path):
    """Until the transcript ends with a prompt: everything typed so far was answered."""
    return wait_until(lambda: text(path / "output").endswith("$ "), "a prompt")


def test_many_blocked_readers_leave_the_mount_usable(m, shell):
    """More than FUSE has worker threads: blocked reads must not hold one."""
    path, fd = shell
    os.write(fd, b"echo $((40+1))\n")
    read_until(fd, b"41\r\n")
    readers = [subprocess.Popen(["cat", path / "wait"], stdout=subprocess.PIPE)
               for _ in range(40)]
    for reader in readers:
        wait_until(lambda r=reader: blocked(r.pid), "all of them block")
    put(m.w / "f", "still usable")
    assert text(m.w / "f") == "still usable"
    os.write(fd, b"exit 2\n")
    for reader in readers:
        assert reader.communicate(timeout=PATIENCE)[0] == b"2\n"


def test_tail_follows(m):
    path = make(m, "exec")
    ctl(path, "start echo first; while [ ! -e go ]; do sleep 0.05; done; echo second; sleep 1000")
    tail = subprocess.Popen(["tail", "-n", "+1", "-s", "0.1", "-f", path / "stdout"],
                            stdout=subprocess.PIPE)
    try:
        assert tail.stdout.readline() == b"first\n"
        put(m.w / "go", "")
        assert tail.stdout.readline() == b"second\n"
    finally:
        tail.kill()
        tail.wait()
        tail.stdout.close()


# Guests and the root


def test_guest_verbs(m):
    fd = os.open(m.w / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"synced")
    ctl(m.g, "sync")
    assert (m.guest.workspace / "f").read_text() == "synced"
    os.close(fd)
    ctl(m.g, "refresh", "refresh f", "reconnect")
    assert text(m.w / "f") == "synced"


def test_attach_and_detach(m, yard):
    other = yard.guest("unix", "other")
    put(other.workspace / "theirs", "from the other")
    ctl(m.point, f"attach second={other.address}")
    assert sorted(os.listdir(m.point)) == ["box", "ctl", "error", "metrics", "second",
                                           "status", "version"]
    assert text(m.point / "second/workspace/theirs") == "from the other"
    with fails(errno.EEXIST):
        ctl(m.point, f"attach second={other.address}")
    with pytest.raises(OSError):
        ctl(m.point, f"attach third=unix:{yard.folder}/nobody")
    assert "third" not in os.listdir(m.point)
    path = m.point / "second/exec/x"
    os.mkdir(path)
    ctl(path, "run echo there")
    assert text(path / "stdout") == "there\n"
    ctl(m.point, "detach second")
    assert "second" not in os.listdir(m.point)
    with fails(errno.ENOENT):
        os.stat(m.point / "second/workspace")
    put(m.w / "f", "the first is untouched")
    assert is_mounted(m.point)


def test_events_blocks_and_can_be_interrupted(m):
    reader = subprocess.Popen(["cat", m.g / "events"], stdout=subprocess.PIPE)
    wait_until(lambda: blocked(reader.pid), "cat blocks")
    reader.send_signal(signal.SIGINT)
    assert reader.wait(5) == -signal.SIGINT
    reader.stdout.close()
