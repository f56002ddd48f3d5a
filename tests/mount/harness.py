"""What the tests stand on: guests, mounts and small helpers.  Fixtures are in conftest.py.

Nothing here waits for time to pass: everything waits for a condition, with a limit.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VSOCKFS_BUILD", ROOT / "build/release")).resolve()
PEER = ROOT / "tests/peer"
sys.path.insert(0, str(PEER))
import sandbox  # noqa: E402

# Started in the background of a script the tests would ignore it, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 20        # seconds for what should be quick
REFERENCE_DIED = 86  # the reference peer's exit status when a client left too early

# Programs behave the same everywhere, and sanitizers say what they find where it is looked for.
ENV = {**os.environ, "LC_ALL": "C", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
       "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
       "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99"}

BAD_OUTPUT = re.compile(r"Sanitizer|runtime error|\bBUG\b|[Aa]ssert|\bleak|[Ss]egmentation|"
                        r"double free|corrupt|stack smashing|Traceback", re.M)


def binary(name):
    for folder in ("", "fs", "protocol/agent", "bin"):
        if (BUILD / folder / name).is_file():
            return str(BUILD / folder / name)
    raise FileNotFoundError(f"no {name} below {BUILD}; build it, or set VSOCKFS_BUILD")


def wait_until(condition, what, seconds=PATIENCE):
    """Until CONDITION() gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)
    return value


def mounts(pid="self"):
    """{path: device} of everything that is mounted, as a process sees it."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        fields = [line.split(" ") for line in table]
    return {each[4]: each[2] for each in fields}


def is_mounted(path):
    return str(path) in mounts()


def run(*argv, status=0, timeout=120, **more):
    """Runs a program to its end; its exit status is asserted, its output returned as text."""
    more.setdefault("env", ENV)
    done = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="surrogateescape", timeout=timeout, **more)
    assert done.returncode == status, \
        f"{argv} gave {done.returncode}, not {status}\n{done.stdout}{done.stderr}"
    return done.stdout


def sh(script, cwd, status=0, timeout=120):
    """A shell script with -e, in CWD."""
    return run("/bin/sh", "-ec", script, cwd=cwd, status=status, timeout=timeout)


@contextlib.contextmanager
def fails(number):
    """The block fails with exactly this errno."""
    try:
        yield
    except OSError as error:
        assert error.errno == number, \
            f"{errno.errorcode.get(error.errno)} instead of {errno.errorcode[number]}: {error}"
    else:
        raise AssertionError(f"no error where {errno.errorcode[number]} was due")


def put(path, data):
    """What `printf %s DATA > PATH` does, with every error seen, close(2)'s too."""
    data = data.encode() if isinstance(data, str) else data
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        while data:
            data = data[os.write(fd, data):]
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)


def get(path):
    """What cat gives: read(2) to the end, whatever st_size says."""
    fd = os.open(path, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(fd, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def text(path):
    return get(path).decode()


def keyed(path):
    """A flat-keyed status file as a dict."""
    pairs = [line.split(" ", 1) for line in text(path).splitlines()]
    assert all(pair[0] for pair in pairs), f"not flat-keyed: {pairs}"
    assert len({pair[0] for pair in pairs}) == len(pairs), f"a key twice: {pairs}"
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def raw_call(path, request, payload=b"", bridge=False, timeout=30):
    """One well-behaved request at an agent, past vsockfs: the reply as bytes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        if bridge:
            connection.sendall(b"CONNECT 5005\n")
            line = b""
            while not line.endswith(b"\n"):
                byte = connection.recv(1)
                assert byte, f"the bridge closed after {line!r}"
                line += byte
            assert line.startswith(b"OK "), line
        connection.sendall(json.dumps(request).encode() + b"\n" + payload)
        reply = b""
        try:
            while piece := connection.recv(1 << 16):
                reply += piece
        except ConnectionResetError:  # after an error reply that came before the payload was read
            assert reply
        return reply


class Process:
    """A child with its stderr in a file; ended for sure by stop()."""

    def __init__(self, argv, log, **more):
        self.argv, self.log = argv, Path(log)
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          env=ENV, **more)

    @property
    def alive(self):
        return self.child.poll() is None

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def stacks(self):
        """What every thread is doing, as far as this machine can tell."""
        if shutil.which("gdb"):
            return subprocess.run(["gdb", "-p", str(self.child.pid), "-batch", "-ex",
                                   "thread apply all backtrace"], capture_output=True, text=True,
                                  check=False).stdout
        tasks = Path(f"/proc/{self.child.pid}/task").iterdir()
        return "\n".join(f"{(task / 'comm').read_text().strip()}: {(task / 'syscall').read_text()}"
                         for task in tasks)

    def stop(self, number=signal.SIGTERM):
        if self.alive:
            self.child.send_signal(number)
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Guest:
    """Something to mount: a workspace directory on this side, and an agent that shows it.

    KIND: local (vsockfs starts the agent), unix and firecracker (the bundled agent), bare (the same
    in a guest that has only busybox), reference and reference-bridge (the test peer that is like those in the field).
    """

    def __init__(self, kind, folder, options=()):
        self.kind, self.folder, self.options = kind, Path(folder), list(options)
        if kind == "line":
            self.options.append("--no-session")
        self.workspace = self.folder / "workspace"
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.socket = str(self.folder / "agent.sock")
        self.log = self.folder / "requests"
        self.hold = self.folder / "hold"  # while it exists, the reference peer sends no reply
        self.boot_id = None  # a file: what /proc says there, after a restart that is a reboot
        self.process = None
        self.died_rightly = False  # a test sets this when it ended the agent itself
        self.bridge = kind in ("firecracker", "reference-bridge")
        if kind == "local":
            self.address = f"local:{self.workspace}"
        else:
            self.address = ("firecracker:" if self.bridge else "unix:") + self.socket

    @property
    def is_reference(self):
        return self.kind.startswith("reference")

    def start(self, replace=False):
        """With REPLACE the socket's name of an agent that was killed stays: it is in nobody's way."""
        if self.kind == "local":
            return self
        if self.is_reference:
            argv = [str(PEER / "reference_agent.py"), "--listen", self.address, "--workspace",
                    str(self.workspace), "--log", str(self.log), "--hold", str(self.hold),
                    *self.options]
        elif self.kind == "bare":
            root = self.folder / "root"
            for name in ("workspace", "proc", "dev", "run", "tmp"):
                (root / name).mkdir(parents=True, exist_ok=True)
            argv = sandbox.bare_command(self.workspace, binary("vsockfs-agent"),
                                        ["--listen", self.address], self.socket, str(root))
        else:
            argv = sandbox.command(self.workspace, ["/agent", "--listen", self.address,
                                                    *self.options],
                                   [self.socket], [(binary("vsockfs-agent"), "/agent"),
                                                   *self.boot_id_binding()])
        if not replace:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)
        self.process = Process(argv, self.folder / "agent.stderr")
        wait_until(lambda: self.listens() or not self.process.alive, "the agent listens")
        assert self.process.alive, f"the agent ended: {self.process.output}"
        return self

    def boot_id_binding(self):
        return [(str(self.boot_id), "/proc/sys/kernel/random/boot_id")] if self.boot_id else []

    def takes_connections(self):
        with socket.socket(socket.AF_UNIX) as caller:
            return caller.connect_ex(self.socket) == 0

    def listens(self):
        """The reference peer, whose socket has its name only then, takes every caller seriously."""
        return os.path.exists(self.socket) if self.is_reference else self.takes_connections()

    def names(self):
        """What is in the workspace's root, without vsockfs's own directory (gone with the mount)."""
        return sorted(name for name in os.listdir(self.workspace)
                      if not name.startswith(".vsockfs-"))

    def working_files(self):
        """Files that vsockfs keeps in the guest for the moment."""
        return [str(path) for path in self.workspace.glob(".vsockfs-*/**/*") if not path.is_dir()]

    def requests(self):
        """What the reference peer was asked, in order."""
        assert self.is_reference
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [entry["request"] for entry in map(json.loads, lines)
                if entry["event"] == "request"]

    def pending(self):
        """How many requests the reference peer has read and not answered."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        events = [json.loads(line)["event"] for line in lines]
        return events.count("request") - events.count("reply")

    def exec(self, command, timeout=30):
        """Runs COMMAND in the guest past the mount: (exit code, output)."""
        reply = json.loads(raw_call(self.socket, {"command": command, "timeout_seconds": timeout},
                                    bridge=self.bridge, timeout=timeout + 30))
        assert "error" not in reply, reply
        return reply["exit_code"], reply["stdout"]

    def kill(self, number=signal.SIGKILL):
        """The guest is gone, by the test's doing."""
        self.died_rightly = True
        self.process.stop(number)
        # That was the sandbox's first process: the agent ends with it, but not at once.
        wait_until(lambda: not self.takes_connections(), "nobody listens any more")

    def freeze(self, frozen=True):
        """Everything in the guest stands still, or goes on; its sockets stay."""
        def stands(pid):
            return all((task / "stat").read_text().rpartition(") ")[2][0] in "TZX"
                       for task in Path(f"/proc/{pid}/task").iterdir())

        def turn(pid):  # parents first: they start nothing any more
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)
                if frozen:
                    wait_until(lambda: stands(pid), "it stands still")
                for task in Path(f"/proc/{pid}/task").iterdir():
                    for child in (task / "children").read_text().split():
                        turn(int(child))
        turn(self.process.child.pid)

    def restart(self):
        self.died_rightly = False
        self.start()

    def replace(self):
        """Kills the agent and starts another one; who asks meanwhile is only refused."""
        self.kill()
        self.died_rightly = False
        self.start(replace=True)

    def reboot(self):
        """Like a restart, but that the whole guest was started anew."""
        self.boot_id = self.folder / "boot_id"
        self.boot_id.write_text(f"{uuid.uuid4()}\n")
        self.restart()

    def check(self):
        """At a test's end, after the unmount: the agent lives, answers, and was left clean."""
        left = [str(path) for path in self.workspace.rglob("*vsockfs*")]
        assert not left, f"left in the workspace: {left}"
        if self.kind == "local" or self.died_rightly:
            return
        assert self.process.alive, \
            f"the agent died (status {self.process.child.poll()}): {self.process.output}"
        # Answered only after everything before it: what the daemon left behind has had its effect.
        _, found = self.exec("find /tmp /run /var/tmp /dev/shm -name '*vsockfs*' 2>/dev/null")
        assert not found, f"left in the guest: {found}"
        assert self.process.alive, f"the agent died: {self.process.output}"
        if not self.is_reference:
            # Its own end is part of the test: that is when leaks are told.  In the sandbox it is 2.
            with contextlib.suppress(OSError, ValueError):
                self.exec("kill -TERM 2 &")
            assert self.process.child.wait(PATIENCE) == 0, \
                f"the agent ended with {self.process.child.returncode}: {self.process.output}"
        bad = BAD_OUTPUT.search(self.process.output)
        assert not bad, f"{bad.group()!r} in the agent's output:\n{self.process.output}"

    def stop(self):
        self.hold.unlink(missing_ok=True)
        if self.process:
            self.process.stop()


class Mount:
    """A vsockfs in the foreground over one or more guests; .w is the first one's workspace."""

    def __init__(self, folder, guests, options=(), limit=60):
        self.folder = Path(folder)
        self.point = self.folder / "mnt"
        self.point.mkdir(exist_ok=True)
        self.guests = guests if isinstance(guests, dict) else {"box": guests}
        self.options, self.limit = list(options), limit
        # An agent that is brought to a bridge would listen on this machine's AF_VSOCK.
        if any(guest.kind == "reference-bridge" for guest in self.guests.values()):
            self.options.append("agent=never")
        self.process = self.watchdog = self.device = None
        self.hung = False
        self.allowed_output = []

    @property
    def guest(self):
        return next(iter(self.guests.values()))

    @property
    def g(self):
        return self.point / next(iter(self.guests))

    @property
    def w(self):
        return self.g / "workspace"

    @property
    def argv(self):
        options = ["-o", ",".join(self.options)] if self.options else []
        return [binary("vsockfs"), "-f", *options,
                *(f"{name}={guest.address}" for name, guest in self.guests.items()),
                str(self.point)]

    def start(self):
        self.process = Process(self.argv, self.folder / "daemon.stderr")
        wait_until(lambda: is_mounted(self.point) or not self.process.alive, "the mount shows up")
        assert self.process.alive, f"vsockfs ended: {self.process.output}"
        self.device = mounts()[str(self.point)]
        # Whatever hangs, hangs on the daemon: ending it sets everybody free.
        self.watchdog = threading.Timer(self.limit, self.abandon)
        self.watchdog.daemon = True
        self.watchdog.start()
        return self

    def abandon(self):
        self.hung = True
        self.process.child.kill()

    def allow_output(self, pattern):
        """The daemon may say this on stderr; anything else there fails the test."""
        self.allowed_output.append(re.compile(pattern))

    def unmount(self, seconds=PATIENCE):
        """Ends the mount as a user does, and waits for the daemon; its exit status."""
        self.watchdog.cancel()
        if is_mounted(self.point):
            done = subprocess.run(["fusermount3", "-u", str(self.point)], capture_output=True,
                                  text=True, check=False)
            assert done.returncode == 0, f"fusermount3: {done.stderr}"
        return self.wait_for_end(seconds)

    def copies(self):
        """Processes in whose mount namespaces the mount is still there."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.device in mounts(process.name).values():
                    found.append(int(process.name))
        return found

    def wait_for_end(self, seconds=PATIENCE):
        """
        For the daemon, once it is unmounted; its exit status.  Whoever made a mount namespace
        meanwhile (an `unshare -m` of other tests, say) has a copy of the mount, which keeps it.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.child.wait(seconds)
        if copies := self.copies():
            wait_until(lambda: not self.copies(), f"{copies} end, who have a copy", 300)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.child.wait(seconds)
        stacks = self.process.stacks()
        self.process.child.kill()
        self.process.child.wait()
        raise AssertionError(f"the daemon did not end within {seconds} s of the unmount; "
                             f"its threads:\n{stacks}")

    def check(self):
        """At a test's end: the daemon lives, ends well, and had nothing to complain about."""
        assert not self.hung, f"the test took over {self.limit} s; the daemon was killed"
        status = self.unmount()
        output = self.process.output
        bad = BAD_OUTPUT.search(output)
        assert not bad, f"{bad.group()!r} in the daemon's output:\n{output}"
        assert status == 0, f"the daemon ended with {status}:\n{output}"
        odd = [line for line in output.splitlines()
               if not any(pattern.search(line) for pattern in self.allowed_output)]
        assert not odd, "unexpected output of the daemon:\n" + "\n".join(odd)
        assert not is_mounted(self.point)

    def stop(self):
        """Whatever happened, nothing stays."""
        if self.watchdog:
            self.watchdog.cancel()
        if self.process:
            if is_mounted(self.point):
                subprocess.run(["fusermount3", "-u", "-z", str(self.point)], check=False,
                               capture_output=True)
            self.process.stop(signal.SIGKILL)


class Yard:
    """One test's private directory and all that it started there."""

    def __init__(self):
        # Short, for the sockets' sake, and without the product's name, which is looked for.
        self.folder = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
        self.guests, self.mounts, self.others, self.undo = [], [], [], []

    def guest(self, kind, name="box", options=()):
        guest = Guest(kind, self.folder / name, options)
        self.guests.append(guest)
        return guest.start()

    def mount(self, guests, options=(), limit=60, start=True):
        folder = self.folder / f"mount{len(self.mounts)}"
        folder.mkdir()
        mount = Mount(folder, guests, options, limit)
        self.mounts.append(mount)
        return mount.start() if start else mount

    def spawn(self, *argv, **more):
        """Another program, ended with the test."""
        child = subprocess.Popen(list(map(str, argv)), env=ENV, **more)
        self.others.append(child)
        return child

    def at_end(self, undo):
        """UNDO() runs when everything of the test has ended, before its directory goes."""
        self.undo.append(undo)

    def check(self):
        for mount in self.mounts:
            if mount.process:
                mount.check()
        for guest in self.guests:
            guest.check()

    def logs(self):
        """What a failed test leaves: what the guests' states are, and what the programs said."""
        for mount in self.mounts:
            if mount.process and mount.process.alive and is_mounted(mount.point):
                for name in mount.guests:
                    with contextlib.suppress(OSError):
                        yield f"--- {name}\n{text(mount.point / name / 'status')}"
        for path in sorted(self.folder.glob("*/*.stderr")):
            if path.is_file() and (words := path.read_text(errors="replace")):
                yield f"--- {path.relative_to(self.folder)}\n{words[-8000:]}"

    def stop(self):
        for child in self.others:
            if child.poll() is None:
                child.kill()
            child.wait()
        for mount in self.mounts:
            mount.stop()
        for guest in self.guests:
            guest.stop()
        for undo in self.undo:
            undo()
        shutil.rmtree(self.folder, ignore_errors=True)
