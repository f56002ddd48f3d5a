"""An agent of the session dialect that says hello properly and then, on one operation, misbehaves in one named way.

Until `be(WAY)` it is an honest agent of a real directory; what it misbehaves in is counted in `struck`.  WAYS has all ways.
"""

import errno
import itertools
import os
import socket
import stat
import struct
import threading
import time

from session_agent import SmallAgent, as_attr
from session_client import (CALL, CANCEL, CREDIT, DATA, DONE, END, HEADER, MAX_BODY, OPS, WINDOW,
                            Attr, decode, encode)

FOREVER = 1 << 62
U32, U64 = 2**32 - 1, 2**64 - 1
OUTPUT = b"one\ntwo\n"  # of every command and shell
PAGES = 100000          # frames of a flood
WRITES = os.O_WRONLY | os.O_RDWR


class Talk:
    """One CALL and what may be said about it."""

    def __init__(self, agent, stream, number, name, arguments):
        self.agent, self.stream = agent, stream
        self.number, self.name, self.arguments = number, name, arguments
        self.values = decode(OPS[name][1], arguments)

    def frame(self, kind, body=b"", *, number=None, flags=0, code=0, size=None):
        number = self.number if number is None else number
        size = len(body) if size is None else size
        self.stream.write(HEADER.pack(size, number, kind, flags, code) + body)

    def data(self, body, **more):
        self.frame(DATA, body, **more)

    def done(self, body=b"", **more):
        self.frame(DONE, body, **more)

    def answer(self, *result, data=b""):
        if data:
            self.data(data)
        self.done(encode(OPS[self.name][2], result))

    def next(self):
        """The next frame: kind, number, code, body."""
        self.stream.flush()
        header = self.stream.read(HEADER.size)
        if len(header) < HEADER.size:
            raise ConnectionError
        size, number, kind, _, code = HEADER.unpack(header)
        return kind, number, code, self.stream.read(size)

    def pour(self, pieces):
        """DATA within its credit, until the client has enough; other calls are refused meanwhile."""
        credit = WINDOW
        for piece in pieces:
            while len(piece) > credit:
                kind, number, _, body = self.next()
                if kind == CREDIT and number == self.number:
                    credit += struct.unpack("<I", body)[0]
                elif kind == CANCEL and number == self.number:
                    self.done(code=errno.ECANCELED)
                    return
                elif kind == CALL:
                    self.done(b"busy", number=number, code=errno.EIO)
            credit -= len(piece)
            self.data(piece)

    def honest(self, **changes):
        """The right answer, with other attributes."""
        result, data = self.agent.operate(self.name, *self.values)
        self.answer(*(field._replace(**changes) if isinstance(field, Attr) else field
                      for field in result), data=data)


def entry(name, target=b"", **attr):
    body = encode("Ass", (Attr(ino=77, mode=stat.S_IFREG | 0o644, nlink=1)._replace(**attr), name, target))
    return struct.pack("<I", len(body)) + body


# Makers of ways: each gives what is done in place of the operation.

def lists(*names, **more):
    """A listing of these names only."""
    return lambda talk: talk.answer(0, b"", data=b"".join(entry(name, **more) for name in names))


def attributes(**changes):
    return lambda talk: talk.honest(**changes)


def says(*result, data=b""):
    return lambda talk: talk.answer(*result, data=data)


def body(result):
    """DONE with these bytes as its result."""
    return lambda talk: talk.done(result)


def fails(code, sentence=b""):
    return lambda talk: talk.done(sentence, code=code)


def frames(kind, contents=b"", **more):
    """A frame that may not come, and then the right answer."""
    def act(talk):
        talk.frame(kind, contents, **more)
        talk.honest()
    return act


def silent(talk):
    pass


def endless(talk):
    """Names that count upwards; a frame is made of one whose number is filled in."""
    mark = b"#" * 10
    page = b"".join(entry(mark + b"%03d" % number) for number in range(400))
    talk.pour(page.replace(mark, b"%010d" % number) for number in itertools.count())


def half(talk):
    """As much as the credit allows, and never the end."""
    for page in range(2):
        talk.data(b"".join(entry(b"%d%05d" % (page, number), b"t" * 200) for number in range(400)))


def one_by_one(talk):
    """Each answer has one more name, and says that there are others."""
    name = b"%020d" % (int(talk.values[2] or 0) + 1)
    talk.answer(1, name, data=entry(name))


def over_credit(talk):
    """The client gives no more credit for a listing of which it has seen enough."""
    talk.data(entry(b"."))
    for number in range(2 * WINDOW // 1000):
        talk.data(entry(b"%09d" % number, b"t" * 900))


def behind_the_end(talk):
    after = talk.values[2]
    talk.data(entry(after + b"a"), flags=END)
    talk.data(entry(after + b"b"), flags=END)


def torn(talk):
    """A part of a frame, and then the connection is closed."""
    talk.frame(DONE, b"x" * 50, size=100)
    talk.stream.flush()
    talk.agent.hang_up()


def twice(talk):
    talk.honest()
    talk.honest()


def flood(talk):
    """Events of a watch that nobody asked for."""
    event = encode("QBs", (1, 1, b"no/such/path"))
    for _ in range(PAGES):
        talk.data(event, number=4711)
    talk.honest()


def credit_overflow(talk):
    for _ in range(PAGES):
        talk.frame(CREDIT, struct.pack("<I", U32))
    talk.honest()


def process(talk, **members):
    """The right answer with other members in its object."""
    (result,), data = talk.agent.operate(talk.name, *talk.values)
    talk.answer({**result, **members}, data=data)


def members(**more):
    return lambda talk: process(talk, **more)


def statuses(**more):
    """Of OP_STREAM: members of what its result says of the shell."""
    def act(talk):
        (result,), data = talk.agent.operate(talk.name, *talk.values)
        talk.answer({**result, "status": {**result["status"], **more}}, data=data)
    return act


def output_over(talk):
    """More bytes than were asked for, within the credit."""
    talk.pour([b"x" * 1000] * (talk.values[0]["max"] // 1000 + 2))
    talk.honest()


def deaf(talk):
    """Reads nothing any more, until the way is over."""
    talk.agent.honest_again.wait(60)


def late(talk):
    time.sleep(1)
    talk.honest()


# Name: (operation, "ROOT" for STAT of the workspace itself, None for all of them; what is done in its place).
WAYS = {
    "listed-slash": ("LIST", lists(b"a/b")),
    "listed-outside": ("LIST", lists(b"../outside")),
    "listed-absolute": ("LIST", lists(b"/etc")),
    "listed-nul": ("LIST", lists(b"a\0b")),
    "listed-dot": ("LIST", lists(b".")),
    "listed-dot-dot": ("LIST", lists(b"..")),
    "listed-empty": ("LIST", lists(b"")),
    "listed-long": ("LIST", lists(b"n" * 256)),
    "listed-twice": ("LIST", lists(b"f", b"f")),
    "listed-disorder": ("LIST", lists(b"g", b"f")),
    "listed-type": ("LIST", lists(b"f", mode=0o170644)),
    "listed-size": ("LIST", lists(b"f", size=U64)),
    "listed-target-nul": ("LIST", lists(b"l", target=b"a\0b", mode=stat.S_IFLNK | 0o777)),
    "listed-torn": ("LIST", says(0, b"", data=entry(b"f")[:-1])),
    "listed-no-further": ("LIST", says(1, b"")),
    "listed-endless": ("LIST", endless),
    "listed-half": ("LIST", half),
    "listed-one-by-one": ("LIST", one_by_one),
    "over-credit": ("LIST", over_credit),
    "behind-the-end": ("LIST", behind_the_end),

    "size-negative": ("STAT", attributes(size=U64)),
    "size-enormous": ("STAT", attributes(size=2**63 - 1)),
    "blocks-negative": ("STAT", attributes(blocks=U64)),
    "time-impossible": ("STAT", attributes(mtime_ns=10**9)),
    "type-none": ("STAT", attributes(mode=0o644)),
    "type-strange": ("STAT", attributes(mode=0o170644)),
    "type-high": ("STAT", attributes(mode=U32)),
    "type-disk": ("STAT", attributes(mode=stat.S_IFBLK | 0o666, rdev=os.makedev(8, 0))),
    "type-other": ("STAT", attributes(mode=stat.S_IFDIR | 0o755)),
    "root-of-a-file": ("ROOT", attributes(mode=stat.S_IFREG | 0o644)),
    "opened-never": ("OPEN", silent),
    "closed-never": ("CLOSE", silent),
    "opened-other-type": ("OPEN", lambda talk: talk.honest(mode=stat.S_IFDIR | 0o755)),
    "made-other-type": ("MKDIR", lambda talk: talk.answer(Attr(ino=5, mode=stat.S_IFREG | 0o644))),
    "attributes-short": ("STAT", body(b"x" * 95)),
    "attributes-long": ("STAT", body(b"\0" * 97)),
    "attributes-none": ("STAT", body(b"")),

    "target-nul": ("READLINK", says(b"a\0b")),
    "target-long": ("READLINK", says(b"t" * 4096)),
    "target-empty": ("READLINK", says(b"")),
    "target-outside": ("READLINK", says(b"../../outside/secret")),
    "target-absolute": ("READLINK", says(b"/etc/passwd")),

    "read-more": ("READ", body(b"x" * MAX_BODY)),
    "read-fewer": ("READ", body(b"con")),
    "read-never": ("READ", silent),
    "written-nonsense": ("WRITE", body(b"x")),
    "written-never": ("WRITE", silent),

    "space-enormous": ("STATFS", says(*[U64] * 7)),
    "space-none": ("STATFS", says(*[0] * 7)),

    "errno-ours": ("STAT", fails(errno.ENOTCONN)),
    "errno-of-no-kernel": ("STAT", fails(4096)),
    "errno-highest": ("READ", fails(65535, b"\x1b[2J")),
    "sentence-controls": ("COMMAND_START", fails(errno.EPERM, b"two\nlines\x1b[31m\x00\xff\xc2\x9b")),
    "sentence-long": ("COMMAND_START", fails(errno.EPERM, "ü".encode() * (MAX_BODY // 2))),
    "sentence-megabyte": ("STAT", fails(errno.EPERM, b"x" * (1 << 20))),
    "sentence-over": ("STAT", fails(errno.EPERM, b"x" * 8193)),

    "frame-kind": ("STAT", frames(9)),
    "frame-call": ("STAT", frames(CALL, b"\0" * 4, code=1)),
    "frame-cancel": ("STAT", frames(CANCEL)),
    "frame-over": ("STAT", frames(DONE, b"x" * (MAX_BODY + 1))),
    "frame-huge": ("STAT", frames(DONE, size=U32)),
    "frame-flags": ("STAT", frames(DONE, b"", flags=2)),
    "frame-code": ("STAT", frames(CREDIT, b"\0" * 4, code=1)),
    "frame-zero": ("STAT", frames(DONE, number=0)),
    "frame-torn": ("STAT", torn),
    "answer-unasked": ("STAT", frames(DONE, number=U32)),
    "answer-twice": ("STAT", twice),
    "data-untaken": ("STAT", frames(DATA, b"x")),
    "data-nothing": ("LIST", frames(DATA)),
    "events-unasked": ("STAT", frames(DATA, encode("QBs", (1, 1, b"../../x")), number=4711)),
    "events-flood": ("STAT", flood),
    "credit-odd": ("STAT", frames(CREDIT, b"\0" * 3)),
    "credit-overflow": ("STAT", credit_overflow),
    "credit-never": ("COMMAND_INPUT", silent),

    "output-over": ("STREAM", output_over),
    "output-ahead": ("STREAM", members(next=2**63 - 1)),
    "output-skips": ("STREAM", members(next=10**12)),
    "output-back": ("STREAM", members(next=0)),
    "output-before": ("STREAM", members(next=-5)),
    "state-controls": ("COMMAND_STATUS", members(state="run\x1b[31m\nning")),
    "state-number": ("COMMAND_STATUS", members(state=5)),
    "state-long": ("COMMAND_STATUS", members(state="x" * 100000)),
    "exit-code-huge": ("COMMAND_STATUS", members(exit_code=10**18)),
    "process-array": ("COMMAND_STATUS", body(b"[1, 2]")),
    "process-deep": ("COMMAND_STATUS", body(b"[" * 100000)),
    "service-state-controls": ("SERVICE_START", members(state="up\x1b[2J")),
    "service-command-huge": ("SERVICE_START", members(command="\x1b" * (MAX_BODY // 8))),
    "shell-state-controls": ("STREAM", statuses(state="\x1b]0;x\x07")),
    "input-took-more": ("SHELL_WRITE", says(U32)),
    "input-took-none": ("SHELL_WRITE", says(0)),

    "deaf": (None, deaf),
    "late": (None, late),
}


class HostileAgent(SmallAgent):
    """Serves WORKSPACE as SmallAgent does, with files, one command, shell and service besides."""

    def __init__(self, path, workspace):
        self.way, self.struck = None, 0
        self.honest_again = threading.Event()
        self.connections = []
        super().__init__(path, workspace)

    def be(self, way=None):
        """Misbehaves in WAY from now on, or no more."""
        if way is None:
            self.honest_again.set()
        else:
            self.honest_again.clear()
            self.struck = 0
        self.way = way

    def stop(self):
        self.be()
        super().stop()

    def hang_up(self):
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)

    def serve(self, connection):
        self.connections.append(connection)
        try:
            super().serve(connection)
        except (OSError, ValueError):  # the client has had enough
            pass
        finally:
            self.connections.remove(connection)

    def carry_out(self, stream, number, name, arguments):
        operation, act = WAYS.get(self.way, (False, None))
        root = name == "STAT" and arguments == encode("s", (b"",))
        if operation not in ("ROOT" if root else name, None):
            super().carry_out(stream, number, name, arguments)
            return
        self.struck += 1
        talk = Talk(self, stream, number, name, arguments)
        try:
            act(talk)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            talk.done(error.strerror.encode(), code=error.errno)

    # The honest rest

    def operate(self, name, *arguments):
        own = getattr(self, "do_" + name.lower(), None)
        if own:
            return own(*arguments)
        return super().operate(name, *arguments)

    def do_readlink(self, path):
        return [os.readlink(self.path(path))], b""

    def do_open(self, path, flags, mode):
        wire = {1: os.O_RDONLY, 2: os.O_WRONLY, 3: os.O_RDWR}[flags & 3]
        wire |= (os.O_CREAT if flags & 4 else 0) | (os.O_TRUNC if flags & 16 else 0)
        handle = os.open(self.path(path), wire | os.O_NOFOLLOW, mode)
        return [handle, as_attr(handle)], b""

    def do_close(self, handle):
        os.close(handle)
        return [], b""

    def do_read(self, handle, offset, size):
        return [os.pread(handle, size, offset)], b""

    def do_write(self, handle, offset, _flags, contents):
        os.pwrite(handle, contents, offset)
        return [as_attr(handle)], b""

    def do_fstat(self, handle):
        return [as_attr(handle)], b""

    def do_fsync(self, handle, _data_only):
        return [as_attr(handle)], b""

    def do_info(self):
        return [{"uptime_ms": 10**9}], b""

    def status(self, **more):
        return {"state": "running", "pid": 5, "exit_code": None, "stdout_size": len(OUTPUT),
                "stderr_size": 0, **more}

    def do_command_start(self, _asked):
        return [self.status()], b""

    def do_command_status(self, _asked):
        return [self.status(state="ended", exit_code=3)], b""

    def do_command_forget(self, _asked):
        return [{}], b""

    def do_service_start(self, asked):
        return [self.status(command=asked["command"])], b""

    def do_service_status(self, _asked):
        raise OSError(errno.ENOENT, "no such service")

    def do_service_stop(self, _asked):
        return [self.status(state="stopped", exit_code=0)], b""

    def do_shell_open(self, _asked):
        return [self.status()], b""

    def do_shell_close(self, _asked):
        return [self.status(state="stopped", exit_code=0)], b""

    def do_shell_write(self, _name, contents):
        return [len(contents)], b""

    def do_stream(self, asked):
        start, most = asked.get("offset", 0), asked.get("max") or FOREVER
        data = OUTPUT[start:start + most]
        return [{"next": start + len(data), "ended": False, "status": self.status()}], data
