"""A client of the session dialect, written from docs/protocol.md (part 2) alone.

It shares nothing with the two C ends, so a mistake that both of them make is seen here.  It knows
the agent's half of every rule too, and raises Broken where the agent does not keep to it.
"""

import collections
import itertools
import json
import selectors
import socket
import struct
import time

MAX_BODY, WINDOW = 135168, 262144  # 2.12
CALL, DONE, DATA, CREDIT, CANCEL = 1, 2, 3, 4, 5
END = 1
HEADER = struct.Struct("<IIBBH")
PATIENCE = 20  # seconds; what takes longer hangs

# Operation: number, arguments, result.  A letter is a field: B, H, I, Q as in struct; s bytes, text
# or a path; A an ATTR; * the rest; J one JSON object.
OPS = {
    "STAT": (1, "s", "A"),
    "LIST": (2, "sBsI", "Bs"),
    "READLINK": (3, "s", "s"),
    "OPEN": (4, "sII", "IA"),
    "CLOSE": (5, "I", ""),
    "READ": (6, "IQI", "*"),
    "WRITE": (7, "IQB*", "A"),
    "FSYNC": (8, "IB", "A"),
    "FSTAT": (9, "I", "A"),
    "SETATTR": (10, "sIIA", "A"),
    "MKDIR": (11, "sI", "A"),
    "RMDIR": (12, "s", ""),
    "UNLINK": (13, "s", ""),
    "RENAME": (14, "ssI", ""),
    "SYMLINK": (15, "ss", "A"),
    "LINK": (16, "ss", "A"),
    "MKNOD": (17, "sI", "A"),
    "STATFS": (18, "", "QQQQQQQ"),
    "SYNC": (19, "", ""),
    "BATCH": (20, "B*", "*"),
    "EXPORT": (21, "s", "QQ"),
    "IMPORT": (22, "s", "QQ"),
    "WATCH": (64, "Q", ""),
    "BARRIER": (65, "", "Q"),
    "SHELL_WRITE": (102, "s*", "I"),
    "INFO": (113, "", "J"),
}
OPS.update({name: (number, "J", "J") for number, name in {
    96: "SERVICE_START", 97: "SERVICE_STATUS", 98: "SERVICE_STOP", 99: "SERVICE_LIST",
    100: "SHELL_OPEN", 101: "SHELL_STATUS", 103: "SHELL_RESIZE", 104: "SHELL_SIGNAL",
    105: "SHELL_CLOSE", 106: "COMMAND_START", 107: "COMMAND_INPUT", 108: "COMMAND_STATUS",
    109: "COMMAND_SIGNAL", 110: "COMMAND_FORGET", 111: "STREAM", 112: "WAIT"}.items()})
STREAMS = ("LIST", "EXPORT", "WATCH", "STREAM")  # to the client
LAST_OPENED = 0xFFFFFFFF  # a handle, in a batch
NOW = 1073741823          # nanoseconds, in SETATTR

ATTR = struct.Struct("<QQQQQIIIIqIqIqII")  # 2.7
Attr = collections.namedtuple("Attr", "ino dev rdev size blocks mode nlink uid gid atime atime_ns "
                              "mtime mtime_ns ctime ctime_ns generation", defaults=[0] * 16)
Event = collections.namedtuple("Event", "sequence kind path")
CHANGED, ENTRIES, RESCAN = 1, 2, 3


class Broken(Exception):
    """The agent broke the protocol, or the connection off."""


class Refused(Exception):
    """The answer to hello is no session; args[0] is its object."""


class Failed(Exception):
    def __init__(self, errno, sentence):
        super().__init__(f"errno {errno}: {sentence}")
        self.errno, self.sentence = errno, sentence


def encode(form, values):
    body = b""
    for field, value in zip(form, values, strict=True):
        if field == "s":
            value = value if isinstance(value, bytes) else value.encode()
            body += struct.pack("<I", len(value)) + value
        elif field == "A":
            body += ATTR.pack(*value)
        elif field == "*":
            body += value
        elif field == "J":
            body += json.dumps(value).encode()
        else:
            body += struct.pack("<" + field, value)
    return body


class Reader:
    """Fields of a body, one behind the other."""

    def __init__(self, body):
        self.body, self.at = body, 0

    @property
    def left(self):
        return len(self.body) - self.at

    def take(self, size):
        if size > self.left:
            raise Broken("a body ends before its last field")
        self.at += size
        return self.body[self.at - size:self.at]

    def field(self, form):
        if form == "s":
            return self.take(self.field("I"))
        if form == "A":
            return Attr(*ATTR.unpack(self.take(ATTR.size)))
        if form == "*":
            return self.take(self.left)
        if form == "J":
            return json.loads(self.take(self.left))
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]


def decode(form, body):
    reader = Reader(body)
    values = [reader.field(field) for field in form]
    if reader.left:
        raise Broken("a body goes on behind its last field")
    return values


def entries(frames):
    """Of LIST's stream: (path, Attr, target of a link)."""
    for frame in frames:
        reader = Reader(frame)
        while reader.left:
            entry = Reader(reader.field("s"))  # what is behind the target is of a later version
            attr, path, target = entry.field("A"), entry.field("s"), entry.field("s")
            yield path, attr, target


def events(frames):
    for frame in frames:
        reader = Reader(frame)
        while reader.left:
            yield Event(reader.field("Q"), reader.field("B"), reader.field("s"))


def batch(*calls):
    """BATCH's second argument: CALLS are (name, argument...)."""
    return b"".join(encode("Hs", (OPS[name][0], encode(OPS[name][1], values)))
                    for name, *values in calls)


def batch_results(calls, body):
    """For each that was done: the list of its result, or Failed."""
    reader, results = Reader(body), []
    for name, *_ in calls:
        if reader.left:
            errno, result = reader.field("H"), reader.field("s")
            results.append(Failed(errno, result.decode()) if errno else
                           decode(OPS[name][2], result))
    if reader.left:
        raise Broken("more results than calls")
    return results


class Call:
    def __init__(self, number, name):
        self.id, self.name = number, name
        self.frames = []    # DATA that came and was not taken
        self.received = 0   # bytes of it, ever
        self.ended = self.cancelled = False  # its stream had END; CANCEL was sent
        self.may_send, self.may_get = WINDOW, WINDOW if name in STREAMS else 0
        self.answer = None  # (errno, body)


class Session:
    def __init__(self, address, **hello):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.calls, self.ids = {}, itertools.count(1)
        self.finished = []  # calls, in the order of their DONE
        self.incoming, self.outgoing = bytearray(), bytearray()
        self.hello = self.enter({"action": "hello", "dialects": ["session/1"], **hello})
        self.socket.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)

    def enter(self, hello):
        self.socket.sendall(json.dumps(hello).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n") and (byte := self.socket.recv(1)):
            line += byte
        reply = json.loads(line)
        if reply.get("dialect") != "session/1":
            self.socket.close()
            raise Refused(reply)
        return reply

    def close(self):
        self.selector.close()
        self.socket.close()

    # Frames

    def frame(self, kind, number, body=b"", flags=0, code=0):
        self.outgoing += HEADER.pack(len(body), number, kind, flags, code) + body

    def pump(self, seconds=PATIENCE):
        """Sends and reads what can be, once.  False: nothing could for so long."""
        self.selector.modify(self.socket, selectors.EVENT_READ |
                             (selectors.EVENT_WRITE if self.outgoing else 0))
        ready = self.selector.select(seconds)
        for _, mask in ready:
            if mask & selectors.EVENT_WRITE:
                try:
                    del self.outgoing[:self.socket.send(self.outgoing)]
                except OSError as error:
                    self.outgoing.clear()  # why, says what is still to be read
                    raise Broken("the agent closed") from error
            if mask & selectors.EVENT_READ:
                self.receive()
        return bool(ready)

    def until(self, condition, what="an answer"):
        end = time.monotonic() + PATIENCE
        while not condition():
            if not self.pump(max(0, end - time.monotonic())):
                raise TimeoutError("waiting for " + what)

    def receive(self):
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionError as error:
            raise Broken("the agent closed") from error
        if not piece:
            raise Broken("the agent closed")
        self.incoming += piece
        while len(self.incoming) >= HEADER.size:
            header = HEADER.unpack_from(self.incoming)
            self.judge(*header)
            end = HEADER.size + header[0]
            if len(self.incoming) < end:
                break
            body = bytes(self.incoming[HEADER.size:end])
            del self.incoming[:end]
            self.deliver(header, body)

    def judge(self, size, number, kind, flags, code):
        call = self.calls.get(number)
        good = call and size <= MAX_BODY and kind in (DONE, DATA, CREDIT) and \
            flags in ((0, END) if kind == DATA else (0,)) and \
            code <= (511 if kind == DONE else 0) and (kind != CREDIT or size == 4)
        if good and kind == DATA:
            good = call.name in STREAMS and not call.ended and size <= call.may_get and \
                (size or flags == END)
        if not good:
            raise Broken(f"size {size}, id {number}, kind {kind}, flags {flags}, code {code}")

    def deliver(self, header, body):
        _, number, kind, flags, code = header
        call = self.calls[number]
        if kind == DONE:
            call.answer = code, body
            self.finished.append(self.calls.pop(number))
        elif kind == CREDIT:
            call.may_send += decode("I", body)[0]
        else:
            call.may_get -= len(body)
            call.received += len(body)
            call.ended = flags == END
            if body and not call.cancelled:
                call.frames.append(body)

    # Calls

    def start(self, name, *values, deadline=0, number=None, body=None):
        """Puts the CALL (an operation's name, or a number and BODY) on its way."""
        operation, form, _ = OPS.get(name) or (name, "", "")
        call = Call(number or next(self.ids), name)
        body = encode(form, values) if body is None else body
        self.calls[call.id] = call
        self.frame(CALL, call.id, struct.pack("<I", deadline) + body, code=operation)
        return call

    def take(self, call):
        """What came of the call's stream, as frames; the credit for it is given back."""
        frames, call.frames = call.frames, []
        size = sum(map(len, frames))
        if size and not call.answer and not call.cancelled:
            call.may_get += size
            self.frame(CREDIT, call.id, struct.pack("<I", size))
        return frames

    def send(self, call, data, end=True):
        """DATA as the call's stream, as credit comes, unless the call is answered before."""
        while (data or end) and not call.answer:
            size = min(len(data), call.may_send, 65536)
            last = end and size == len(data)
            if size or last:
                self.frame(DATA, call.id, data[:size], flags=END if last else 0)
                call.may_send -= size
                data = data[size:]
                end = end and not last
            else:
                self.until(lambda: call.may_send or call.answer, "credit")

    def cancel(self, call):
        call.cancelled = True
        call.frames = []
        self.frame(CANCEL, call.id)

    def result(self, call):
        """Waits for DONE.  The result's only field, or the list of them; Failed with an errno."""
        self.until(lambda: call.answer, f"DONE of {call.name}")
        errno, body = call.answer
        if errno:
            raise Failed(errno, body.decode())
        fields = decode(OPS[call.name][2], body)
        return fields[0] if len(fields) == 1 else fields

    def call(self, name, *values, **options):
        return self.result(self.start(name, *values, **options))

    def drain(self, call, *streams):
        """The result of CALL, and the frames of STREAMS (its own, if none) up to it."""
        streams, frames = streams or (call,), []
        while not call.answer:
            self.until(lambda: call.answer or any(stream.frames for stream in streams))
            for stream in streams:
                frames += self.take(stream)
        for stream in streams:
            frames += self.take(stream)
        return self.result(call), frames

    def collect(self, name, *values, **options):
        """A call with a stream to the client: its result and all of the frames."""
        return self.drain(self.start(name, *values, **options))

    def upload(self, name, *values, data):
        """A call with a stream from the client: its result."""
        call = self.start(name, *values)
        self.send(call, data)
        return self.result(call)
