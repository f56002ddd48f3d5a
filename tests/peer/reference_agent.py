#!/usr/bin/python3
"""The agent in the field, as a test peer: docs/protocol.md part 1, trap by trap.

It is serial with a backlog of one, collects output, decodes it strictly, applies
no modes, leaves services unreaped, and DIES when a client leaves before it has the whole
reply.  Written from the description of the wire, with the standard library only; what is
awkward here is awkward on purpose.  Nothing of it is product code.

    reference_agent.py --listen unix:PATH | firecracker:PATH[:PORT] [--workspace DIR]

The protocol's paths begin with /workspace.  With --workspace the program starts itself
again in a sandbox (sandbox.py) that shows DIR there; without, /workspace is taken as it is.
"""

import argparse
import base64
import codecs
import fcntl
import io
import json
import os
import posixpath
import pty
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.request

WORKSPACE = "/workspace"
SECRETS = "/run/pyro-secrets"
SERVICES = "/run/pyro-services"
TEXT_LIMIT = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
SIGNALS = {"HUP": signal.SIGHUP, "INT": signal.SIGINT, "TERM": signal.SIGTERM,
           "KILL": signal.SIGKILL}

EXIT_CLIENT_LEFT = 86  # how tests tell this death from others


class AgentError(Exception):
    """An {"error": text} reply."""


def die(why):
    """The unguarded final send: the process ends, and its shells with it."""
    sys.stderr.write(f"reference agent: died: {why}\n")
    sys.stderr.flush()
    os._exit(EXIT_CLIENT_LEFT)


def below_workspace(text):
    """Absolute path of TEXT, which must be below /workspace by its text (links are not looked at)."""
    path = posixpath.normpath(posixpath.join(WORKSPACE, text))
    if path != WORKSPACE and not path.startswith(WORKSPACE + "/"):
        raise AgentError(f"path must be inside {WORKSPACE}: {text}")
    return path


def request_env(request, base=os.environ):
    env = request.get("env") or {}
    for name in env:
        if not ENV_NAME.fullmatch(name):
            raise AgentError(f"invalid environment variable name: {name!r}")
    return {**base, **{name: str(value) for name, value in env.items()}}


def artifact_type(path):
    mode = os.lstat(path).st_mode
    for test, name in ((stat.S_ISLNK, "symlink"), (stat.S_ISDIR, "directory"),
                       (stat.S_ISREG, "file")):
        if test(mode):
            return name
    raise AgentError(f"unsupported file type: {path}")


#
# Archives
#

def member_target(destination, member):
    name = member.name.strip()
    if name.startswith("/"):
        raise AgentError(f"archive member has an absolute path: {name}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise AgentError(f"archive member has an unsafe path: {name}")
    parent = destination
    for part in parts[:-1]:
        parent = posixpath.join(parent, part)
        if os.path.islink(parent):
            raise AgentError(f"archive member goes through a symlink: {name}")
    os.makedirs(parent, exist_ok=True)
    return posixpath.join(parent, parts[-1])


def extract_member(archive, member, target):
    """Makes one member; returns the bytes of file data.  No mode, owner or time is applied."""
    exists, link = os.path.lexists(target), os.path.islink(target)
    if member.isdir():
        if exists and (link or not os.path.isdir(target)):
            raise AgentError(f"archive member would replace a non-directory: {member.name}")
        os.makedirs(target, exist_ok=True)
        return 0
    if member.issym():
        if member.linkname.startswith("/") or ".." in member.linkname.split("/"):
            raise AgentError(f"archive member has an unsafe symlink target: {member.name}")
        if exists and not link and os.path.isdir(target):
            raise AgentError(f"archive member would replace a directory: {member.name}")
        if exists:
            os.unlink(target)
        os.symlink(member.linkname, target)
        return 0
    if not member.isfile():
        raise AgentError(f"unsupported archive member: {member.name}")
    if link or os.path.isdir(target):
        raise AgentError(f"archive member would replace a symlink or directory: {member.name}")
    with archive.extractfile(member) as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)
    return member.size


def extract(data, destination):
    """Entry by entry: an error half way leaves what was done."""
    entries = written = 0
    os.makedirs(destination, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
        for member in archive:
            written += extract_member(archive, member, member_target(destination, member))
            entries += 1
    return {"destination": destination, "entry_count": entries, "bytes_written": written}


class Exporter:
    """A PAX tar in a temporary file: the whole of it, before the first byte is sent."""

    def __init__(self, path):
        self.file = tempfile.TemporaryFile(dir="/tmp")
        self.entries = self.written = 0
        with tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT) as self.tar:
            if artifact_type(path) == "directory":
                for name in sorted(os.listdir(path)):
                    self.add(posixpath.join(path, name), name)
            else:
                self.add(path, posixpath.basename(path))
        self.size = self.file.tell()
        self.file.seek(0)

    def add(self, path, name):
        info = self.tar.gettarinfo(path, arcname=name)
        if info is None:  # a socket
            return
        self.entries += 1
        if info.isfile():
            with open(path, "rb") as source:
                self.tar.addfile(info, source)
            self.written += info.size
        else:
            self.tar.addfile(info)
        if info.isdir():
            for child in os.listdir(path):
                self.add(posixpath.join(path, child), f"{name}/{child}")


#
# Shells
#

class Shell:
    def __init__(self, request):
        self.id = request["shell_id"]
        self.cwd = request.get("cwd") or WORKSPACE
        self.cols, self.rows = int(request.get("cols") or 120), int(request.get("rows") or 30)
        self.redact = [value for value in request.get("redact_values") or [] if value]
        self.transcript = ""
        self.lock = threading.Lock()
        self.ended_at = self.exit_code = None
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.cols, 0, 0))
        command = ["bash", "--noprofile", "--norc", "-i"] if shutil.which("bash") else ["sh", "-i"]
        env = {**os.environ, "TERM": "xterm-256color", **request_env(request, {}), "PS1": "pyro$ "}
        try:
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, cwd=self.cwd, env=env,
                start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        finally:
            os.close(slave)
        self.started_at = time.time()
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            with self.lock:
                self.transcript += decoder.decode(data, not data)
            if not data:
                return

    def poll(self):
        if self.exit_code is None and self.process.poll() is not None:
            self.exit_code, self.ended_at = self.process.returncode, time.time()

    def reply(self, **more):
        self.poll()
        return {"shell_id": self.id, "cwd": self.cwd, "cols": self.cols, "rows": self.rows,
                "state": "running" if self.exit_code is None else "stopped",
                "started_at": self.started_at, "ended_at": self.ended_at,
                "exit_code": self.exit_code, **more}

    def need_running(self):
        self.poll()
        if self.exit_code is not None:
            raise AgentError(f"shell {self.id!r} is not running")

    def read(self, cursor, max_chars):
        with self.lock:
            text = self.transcript
        for value in self.redact:
            text = text.replace(value, "[REDACTED]")
        cursor = max(0, min(cursor, len(text)))
        output = text[cursor:cursor + max(0, max_chars)]
        end = cursor + len(output)
        return self.reply(cursor=cursor, next_cursor=end, output=output, truncated=end < len(text))

    def write(self, text, newline):
        self.need_running()
        # One blocking write(2): a full queue stops the whole agent, and what is not taken is lost.
        os.write(self.master, (text + ("\n" if newline else "")).encode())
        return self.reply(input_length=len(text), append_newline=newline)

    def signal(self, name):
        self.need_running()
        # The shell's own group: a foreground job has another one and never hears of it.
        os.killpg(self.process.pid, SIGNALS[name])
        return self.reply(signal=name)

    def close(self, wait):
        if self.process.poll() is None:
            for number in (signal.SIGHUP, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, number)
                    self.process.wait(wait)
                    break
                except (subprocess.TimeoutExpired, ProcessLookupError):
                    pass
        return self.reply(closed=True)


#
# Services
#

class Services:
    """Records in /run that outlive the agent; processes that nobody reaps in time."""

    def __init__(self, stop_wait, probe_limit):
        self.stop_wait, self.probe_limit = stop_wait, probe_limit
        self.children = []

    def reap(self):
        """What a later exec or start does in passing."""
        self.children = [child for child in self.children if child.poll() is None]

    @staticmethod
    def file(name, suffix):
        return f"{SERVICES}/{name}.{suffix}"

    def name(self, request):
        name = str(request.get("service_name") or "").strip()
        if not NAME.fullmatch(name):
            raise AgentError(f"invalid service name: {name!r}")
        return name

    def save(self, record):
        with open(self.file(record["service_name"], "json"), "w", encoding="utf-8") as out:
            json.dump(record, out)

    def load(self, name):
        try:
            with open(self.file(name, "json"), encoding="utf-8") as source:
                record = json.load(source)
        except FileNotFoundError:
            raise AgentError(f"service {name!r} does not exist") from None
        if record["state"] == "running" and not self.alive(record["pid"]):
            record["state"], record["ended_at"] = "exited", time.time()
            record["exit_code"] = self.exit_code(name)
            self.save(record)
        return record

    @staticmethod
    def alive(pid):
        """A zombie counts: this is why a service that ended stays `running`."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    def exit_code(self, name):
        try:
            with open(self.file(name, "exit"), encoding="ascii") as source:
                return int(source.read())
        except (FileNotFoundError, ValueError):
            return None

    def start(self, request):
        name = self.name(request)
        self.reap()
        os.makedirs(SERVICES, exist_ok=True)
        if os.path.exists(self.file(name, "json")) and self.load(name)["state"] == "running":
            raise AgentError(f"service {name!r} is already running")
        cwd, command = request.get("cwd") or WORKSPACE, request.get("command") or ""
        if os.path.exists(self.file(name, "exit")):
            os.unlink(self.file(name, "exit"))
        with open(self.file(name, "sh"), "w", encoding="utf-8", errors="surrogateescape") as script:
            quoted = ["'" + text.replace("'", "'\\''") + "'" for text in (cwd, command)]
            script.write(f"cd {quoted[0]} && /bin/sh -lc {quoted[1]}\n"
                         f"echo $? > {self.file(name, 'exit')}\n")
        with open(self.file(name, "stdout"), "wb") as out, \
             open(self.file(name, "stderr"), "wb") as err:
            child = subprocess.Popen(["/bin/sh", self.file(name, "sh")], env=request_env(request),
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                     start_new_session=True, cwd="/")
        self.children.append(child)
        readiness = request.get("readiness")
        record = {"service_name": name, "command": command, "cwd": cwd, "state": "running",
                  "started_at": time.time(), "ready_at": None, "ended_at": None,
                  "exit_code": None, "pid": child.pid, "readiness": readiness,
                  "stop_reason": None}
        self.save(record)
        timeout = request.get("ready_timeout_seconds")
        interval = request.get("ready_interval_ms")
        self.await_ready(record, 30 if timeout is None else timeout,
                         (500 if interval is None else interval) / 1000)
        return record

    def await_ready(self, record, timeout, interval):
        deadline = time.monotonic() + timeout
        # A probe that breaks raises out of here, and the service goes on running.
        while record["readiness"] is not None and not self.probe(record):
            if time.monotonic() >= deadline:
                self.end(record)
                record["state"], record["stop_reason"] = "failed", "readiness_timeout"
                self.save(record)
                return
            time.sleep(max(interval, 0.01))
        record["ready_at"] = time.time()
        self.save(record)

    def probe(self, record):
        readiness = record["readiness"]
        kind = readiness.get("type")
        if kind == "file":
            return os.path.exists(posixpath.join(record["cwd"], readiness["path"]))
        if kind == "tcp":
            host, _, port = readiness["address"].rpartition(":")
            if not host or not port.isdigit():
                raise AgentError(f"invalid tcp readiness address: {readiness['address']!r}")
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return True
            except OSError:
                return False
        if kind == "http":
            try:
                with urllib.request.urlopen(readiness["url"], timeout=1) as response:
                    return 200 <= response.status < 400
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                return False
        if kind == "command":
            return subprocess.run(["/bin/sh", "-lc", readiness["command"]], cwd=record["cwd"],
                                  stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=self.probe_limit).returncode == 0
        raise AgentError(f"unknown readiness type: {kind!r}")

    def end(self, record):
        """TERM, the wait, KILL.  Unreaped, so the wait never ends early."""
        record["stop_reason"] = "sigterm"
        self.kill(record, signal.SIGTERM)
        deadline = time.monotonic() + self.stop_wait
        while self.alive(record["pid"]) and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.alive(record["pid"]):
            record["stop_reason"] = "sigkill"
            self.kill(record, signal.SIGKILL)
        record["state"], record["ended_at"] = "stopped", time.time()

    @staticmethod
    def kill(record, number):
        try:
            os.killpg(record["pid"], number)
        except ProcessLookupError:
            pass

    def stop(self, request):
        record = self.load(self.name(request))
        if record["state"] == "running":
            self.end(record)
            self.save(record)
        return record

    def logs(self, request):
        record = self.load(self.name(request))
        count = request.get("tail_lines")
        reply, truncated = dict(record), False
        for stream in ("stdout", "stderr"):
            with open(self.file(record["service_name"], stream), "rb") as source:
                text = source.read().decode("utf-8", "replace").replace("\r\n", "\n")
            lines = text.splitlines(keepends=True)
            if count and len(lines) > count:
                lines, truncated = lines[-count:], True
            reply[stream] = "".join(lines)
        return {**reply, "tail_lines": count, "truncated": truncated}


#
# One request a connection
#

class Agent:
    def __init__(self, options):
        self.options = options
        self.shells = {}
        self.services = Services(options.stop_wait, options.probe_limit)
        self.log_lock = threading.Lock()
        self.log_file = open(options.log, "a", encoding="utf-8") if options.log else None
        self.actions = {
            "extract_archive": self.extract_archive, "install_secrets": self.install_secrets,
            "export_archive": self.export_archive, "list_workspace": self.list_workspace,
            "read_workspace_file": self.read_file, "write_workspace_file": self.write_file,
            "delete_workspace_path": self.delete_path, "open_shell": self.open_shell,
            "read_shell": lambda r: self.shell(r).read(int(r.get("cursor") or 0),
                                                       int(r.get("max_chars") or 65536)),
            "write_shell": self.write_shell, "signal_shell": self.signal_shell,
            "close_shell": self.close_shell, "start_service": self.services.start,
            "status_service": lambda r: self.services.load(self.services.name(r)),
            "logs_service": self.services.logs, "stop_service": self.services.stop,
        }

    def log(self, event, **fields):
        if self.log_file:
            with self.log_lock:
                json.dump({"event": event, "time": time.time(), **fields}, self.log_file)
                self.log_file.write("\n")
                self.log_file.flush()

    def serve(self, listener):
        while True:
            connection, _ = listener.accept()
            self.serve_one(connection)

    def holds(self, request):
        try:
            with open(self.options.hold or "") as file:
                action = file.read().strip()
        except OSError:
            return False
        return not action or (isinstance(request, dict) and request.get("action") == action)

    def serve_one(self, connection):
        line = bytearray()
        try:
            while not line.endswith(b"\n") and (byte := connection.recv(1)):
                line += byte
        except OSError as error:
            die(f"client left before its request was read: {error}")
        self.connection, self.tail, self.unread = connection, None, False
        started = time.monotonic()
        request = {}
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise AgentError("request must be a JSON object")
            self.log("request", request=request, line=line.decode("latin-1"))
            reply = self.actions.get(request.get("action"), self.exec)(request)
        except Exception as error:  # whatever it was, it is the reply
            reply = {"error": str(error)}
        while self.holds(request):
            time.sleep(0.01)
        self.log("reply", seconds=time.monotonic() - started, error=reply.get("error"))
        data = json.dumps(reply).encode()
        if self.tail or self.options.newline:
            data += b"\n"
        try:
            connection.sendall(data)
            while self.tail and (piece := self.tail.read(1 << 16)):
                connection.sendall(piece)
        except OSError as error:
            die(f"client left before the reply was sent: {error}")
        if self.unread:
            connection.close()  # a payload is still coming: the sender gets EPIPE
        else:
            finish(connection)

    def payload(self, request):
        size = int(request.get("archive_size") or 0)
        if size <= 0:
            raise AgentError("archive_size must be positive")
        self.unread = True
        data = bytearray()
        while len(data) < size:
            piece = self.connection.recv(min(1 << 20, size - len(data)))
            if not piece:
                raise AgentError("unexpected end of archive data")
            data += piece
        self.unread = False
        return data

    # exec

    def exec(self, request):
        seconds = request.get("timeout_seconds")
        seconds = 30 if seconds is None else int(seconds)
        self.services.reap()
        started = time.monotonic()
        try:
            # Not in run()'s hands: on a timeout only the sh is killed.  stdin is the agent's own.
            done = subprocess.run(["/bin/sh", "-lc", request.get("command") or ""], cwd="/",
                                  env=request_env(request), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, encoding="utf-8", timeout=seconds)
            reply = {"stdout": done.stdout, "stderr": done.stderr, "exit_code": done.returncode}
        except subprocess.TimeoutExpired:
            reply = {"stdout": "", "stderr": f"command timed out after {seconds}s",
                     "exit_code": 124}
        return {**reply, "duration_ms": int((time.monotonic() - started) * 1000)}

    # archives

    def extract_archive(self, request):
        self.unread = bool(request.get("archive_size"))
        destination = below_workspace(request.get("destination") or WORKSPACE)
        return extract(self.payload(request), destination)

    def install_secrets(self, request):
        data = self.payload(request)
        shutil.rmtree(SECRETS, ignore_errors=True)
        os.makedirs(SECRETS, mode=0o700)
        reply = extract(data, SECRETS)
        for folder, _, names in os.walk(SECRETS):
            for name in names:
                os.chmod(posixpath.join(folder, name), 0o600, follow_symlinks=False)
        return reply

    def export_archive(self, request):
        path = below_workspace(request.get("path") or WORKSPACE)
        kind = artifact_type(path)
        export = Exporter(path)
        self.tail = export.file
        return {"workspace_path": path, "artifact_type": kind, "archive_size": export.size,
                "entry_count": export.entries, "bytes_written": export.written}

    # files

    def entry(self, path):
        info, kind = os.lstat(path), artifact_type(path)
        return {"path": path, "artifact_type": kind,
                "size_bytes": info.st_size if kind == "file" else 0,
                "link_target": os.readlink(path) if kind == "symlink" else None}

    def list_workspace(self, request):
        path = below_workspace(request.get("path") or WORKSPACE)
        kind = artifact_type(path)
        entries, folders = [], [path] if kind == "directory" else []
        if not folders:
            entries.append(self.entry(path))
        while folders:
            folder = folders.pop()
            for name in sorted(os.listdir(folder)):
                entries.append(self.entry(posixpath.join(folder, name)))
                if entries[-1]["artifact_type"] == "directory" and request.get("recursive"):
                    folders.append(entries[-1]["path"])
        return {"path": path, "artifact_type": kind, "entries": entries}

    def read_file(self, request):
        path = below_workspace(request["path"])
        if artifact_type(path) != "file":
            raise AgentError(f"not a regular file: {path}")
        limit = min(int(request.get("max_bytes") or TEXT_LIMIT), TEXT_LIMIT)
        size = os.stat(path).st_size
        if size > limit:
            raise AgentError(f"file is larger than {limit} bytes: {path}")
        with open(path, "rb") as source:
            data = source.read()
        return {"path": path, "size_bytes": len(data),
                "content_b64": base64.b64encode(data).decode()}

    def write_file(self, request):
        path = below_workspace(request["path"])
        data = request["text"].encode()
        if len(data) > TEXT_LIMIT:
            raise AgentError(f"text is larger than {TEXT_LIMIT} bytes")
        if os.path.isdir(path) and not os.path.islink(path):
            raise AgentError(f"is a directory: {path}")
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        number, temporary = tempfile.mkstemp(dir=posixpath.dirname(path))  # 0600, and stays so
        with os.fdopen(number, "wb") as out:
            out.write(data)
        os.replace(temporary, path)
        return {"path": path, "size_bytes": len(data), "bytes_written": len(data)}

    def delete_path(self, request):
        path = below_workspace(request["path"])
        if artifact_type(path) == "directory":
            raise AgentError(f"is a directory: {path}")
        os.unlink(path)
        return {"path": path, "deleted": True}

    # shells

    def shell(self, request):
        try:
            return self.shells[request.get("shell_id")]
        except KeyError:
            raise AgentError(f"shell {request.get('shell_id')!r} does not exist") from None

    def open_shell(self, request):
        if request["shell_id"] in self.shells:
            raise AgentError(f"shell {request['shell_id']!r} already exists")
        shell = self.shells[request["shell_id"]] = Shell(request)
        return shell.reply()

    def write_shell(self, request):
        newline = request.get("append_newline")
        return self.shell(request).write(request.get("input") or "",
                                         True if newline is None else bool(newline))

    def signal_shell(self, request):
        name = request.get("signal") or "INT"
        if name not in SIGNALS:
            raise AgentError(f"unsupported signal: {name!r}")
        return self.shell(request).signal(name)

    def close_shell(self, request):
        reply = self.shell(request).close(self.options.close_wait)
        del self.shells[request["shell_id"]]
        return reply


def finish(connection):
    """Ends a connection whose reply was sent, and watches how the client takes it.

    The field's agent just closes, and with a small reply in the socket's buffer a client that
    leaves without reading it may go unnoticed.  Here it never does: on a Unix socket the
    close of a reader with unread bytes is a reset.
    """
    def watch():
        try:
            connection.recv(1)  # what is sent yet goes nowhere
        except ConnectionError:
            die("client left without reading the whole reply")
        connection.close()

    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        die("client left without reading the whole reply")
    threading.Thread(target=watch, daemon=True).start()


#
# The two ways to listen
#

def listen_unix(path, backlog):
    """Shows up at PATH only once it listens, so that its presence is the ready signal."""
    listener = socket.socket(socket.AF_UNIX)
    temporary = f"{path}.{os.getpid()}"
    listener.bind(temporary)
    listener.listen(backlog)
    os.rename(temporary, path)
    return listener


class Bridge:
    """What a VMM does on the host: CONNECT handshake, then bytes both ways."""

    def __init__(self, agent, path, port):
        self.agent, self.port, self.number = agent, port, 1073741824
        self.inner = posixpath.join(tempfile.mkdtemp(prefix="ref-bridge-"), "agent")
        self.agent_listener = listen_unix(self.inner, 1)
        self.listener = listen_unix(path, 128)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def one(self, client):
        # What comes along with CONNECT is swallowed.
        line = b""
        while b"\n" not in line and len(line) < 64:
            piece = client.recv(64)
            if not piece:
                client.close()
                return
            line += piece
        inner = socket.socket(socket.AF_UNIX)
        inner.setblocking(False)
        try:
            if line.split(b"\n")[0] != f"CONNECT {self.port}".encode():
                raise ConnectionRefusedError
            inner.connect(self.inner)
        except OSError as error:  # nobody there, or the backlog is full
            self.agent.log("refused", why=str(error))
            client.close()
            return
        inner.setblocking(True)
        self.number += 1
        client.sendall(f"OK {self.number}\n".encode())
        self.pump(client, inner)

    @staticmethod
    def pump(client, inner):
        """Until the agent closes, or the client goes: then the guest's side is reset."""
        poll = select.poll()
        for end in (client, inner):
            poll.register(end, select.POLLIN)
        while True:
            ready = {number for number, _ in poll.poll()}
            if inner.fileno() in ready:
                try:
                    data = inner.recv(1 << 16)
                except ConnectionError:  # closed with a payload on its way
                    inner.close()
                    client.close()
                    return
                if not data:
                    inner.close()
                    finish(client)
                    return
                try:
                    client.sendall(data)
                except OSError as error:
                    die(f"client left before the reply was sent: {error}")
            elif client.fileno() in ready:
                try:
                    data = client.recv(1 << 16)
                except ConnectionError:
                    die("client left without reading the whole reply")
                if not data:
                    inner.close()
                    client.close()
                    return
                try:
                    inner.sendall(data)
                except OSError:  # the agent has closed; what it said is still to be read
                    poll.unregister(client)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", required=True, metavar="unix:PATH|firecracker:PATH[:PORT]")
    parser.add_argument("--workspace", metavar="DIR", help="show DIR as /workspace, in a sandbox")
    parser.add_argument("--log", metavar="FILE", help="one JSON object a line: every request")
    parser.add_argument("--hold", metavar="FILE",
                        help="while FILE exists no reply is sent (only none to the action that stands in "
                             "it, if any): what was asked is done, and waits")
    parser.add_argument("--no-newline", dest="newline", action="store_false",
                        help="end replies as older agents do")
    for name, default, what in (("stop-wait", 10, "between TERM and KILL of a service"),
                                ("close-wait", 5, "between HUP and KILL of a shell"),
                                ("probe-limit", 10, "for a readiness command")):
        parser.add_argument(f"--{name}", type=float, default=default, metavar="SECONDS",
                            help=f"{what}; {default} as in the field")
    return parser.parse_args()


def main():
    options = parse()
    kind, _, path = options.listen.partition(":")
    if kind not in ("unix", "firecracker") or not path:
        sys.exit("reference agent: --listen takes unix:PATH or firecracker:PATH[:PORT]")
    if options.workspace:
        import sandbox
        arguments = sys.argv[1:]
        at = next(i for i, a in enumerate(arguments) if a.startswith("--workspace"))
        del arguments[at:at + (1 if "=" in arguments[at] else 2)]
        sandbox.enter(options.workspace, ["/usr/bin/python3", os.path.abspath(__file__), *arguments],
                      [path, options.log, options.hold])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # stdin is a terminal that nobody types at: whoever reads it waits for ever.
    reader, _writer = os.pipe()
    os.dup2(reader, 0)
    agent = Agent(options)
    if kind == "unix":
        agent.serve(listen_unix(path, 1))
    path, _, port = path.partition(":")
    agent.serve(Bridge(agent, path, int(port or 5005)).agent_listener)


if __name__ == "__main__":
    main()
