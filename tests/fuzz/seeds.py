#!/usr/bin/python3
"""Writes the seeds of the targets whose input is binary: every operation and every kind of frame once, well formed.

    tests/fuzz/seeds.py       into tests/fuzz/corpus/TARGET/seed-*

What the fuzzers have found beside them has the names that libFuzzer gives.
"""

import json
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"

CALL, DONE, DATA, CREDIT, CANCEL = range(1, 6)
END = 1

OPS = {name: number for number, name in enumerate(
    "stat list readlink open close read write fsync fstat setattr mkdir rmdir unlink rename symlink link mknod statfs "
    "sync batch export import".split(), 1)}
OPS |= {"watch": 64, "barrier": 65}
OPS |= {name: number for number, name in enumerate(
    "service-start service-status service-stop service-list shell-open shell-status shell-write shell-resize "
    "shell-signal shell-close command-start command-input command-status command-signal command-forget stream wait "
    "info".split(), 96)}


def u8(value):
    return struct.pack("<B", value)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return u32(len(value)) + value


def attr(mode=0o100644, size=5):
    times = b"".join(struct.pack("<qI", 1700000000 + i, i) for i in range(3))
    return struct.pack("<QQQQQIIII", 7, 1, 0, size, 8, mode, 1, 0, 0) + times + u32(0)


def entry(path, mode=0o100644, target=""):
    return text(attr(mode) + text(path) + text(target))


def event(sequence, kind, path):
    return u64(sequence) + u8(kind) + text(path)


def frame(kind, number, body=b"", flags=0, code=0):
    return struct.pack("<IIBBH", len(body), number, kind, flags, code) + body


def call(number, op, args=b"", ms=0):
    return frame(CALL, number, u32(ms) + args, code=OPS[op])


def obj(**members):
    return json.dumps(members).encode()


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


#
# The agent's side: a byte for the size of the pieces, and frames
#

LAST = 0xffffffff
ARGUMENTS = {
    "stat": text("file"),
    "list": text("") + u8(255) + text("") + u32(9),
    "readlink": text("out"),
    "open": text("file") + u32(3) + u32(0),
    "close": u32(4096),
    "read": u32(4096) + u64(0) + u32(64),
    "write": u32(4096) + u64(2) + u8(0) + b"bytes",
    "fsync": u32(4096) + u8(1),
    "fstat": u32(4096),
    "setattr": text("file") + u32(0) + u32(1 | 8 | 16 | 32) + attr(0o600, 3),
    "mkdir": text("dir/new") + u32(0o755),
    "rmdir": text("dir"),
    "unlink": text("fifo"),
    "rename": text("file") + text("dir/file") + u32(1),
    "symlink": text("../outside") + text("dir/link"),
    "link": text("file") + text("dir/name"),
    "mknod": text("dir/fifo") + u32(0o10644),
    "statfs": b"",
    "sync": b"",
    "batch": u8(1) + b"".join(u16(OPS[op]) + text(args) for op, args in (
        ("open", text("file") + u32(1) + u32(0)), ("read", u32(LAST) + u64(0) + u32(9)), ("fstat", u32(LAST)),
        ("stat", text("none")), ("close", u32(LAST)))),
    "export": text(""),
    "import": text("dir"),
    "watch": u64(0),
    "barrier": b"",
    "service-status": obj(service_name="s"),
    "service-stop": obj(service_name="s"),
    "service-list": obj(after=""),
    "shell-status": obj(shell_id="1"),
    "shell-write": text("1") + b"input\n",
    "shell-resize": obj(shell_id="1", cols=80, rows=24),
    "shell-signal": obj(shell_id="1", signal="INT"),
    "shell-close": obj(shell_id="1"),
    "command-input": obj(command_id="c"),
    "command-status": obj(command_id="c"),
    "command-signal": obj(command_id="c", signal="TERM"),
    "command-forget": obj(command_id="c"),
    "stream": obj(kind="service", name="s", stream=1, offset=1, max=9, follow=True),
    "wait": obj(kind="service", name="s", **{"for": "end"}),
    "info": b"{}",
}


def agent():
    for op, args in ARGUMENTS.items():
        # An open file has the number of the first slot's first generation.
        before = call(1, "open", ARGUMENTS["open"]) if args.startswith(u32(4096)) else b""
        data = before + call(2, op, args)
        if op in ("import", "command-input"):
            data += frame(DATA, 2, b"no tar") + frame(DATA, 2, flags=END)
        if op in ("watch", "stream"):
            data += call(3, "mkdir", text("seen") + u32(0o700)) + call(4, "barrier")
            data += frame(CREDIT, 2, u32(4096)) + frame(CANCEL, 2)
        write("session_agent", f"op-{op}", u8(255) + data)
    open_out = call(1, "open", text("up/outside") + u32(2 | 4 | 16) + u32(0o777))
    for name, calls in {
        "open": open_out + call(2, "write", ARGUMENTS["write"]),
        "names": call(1, "unlink", text("up/outside")) + call(2, "mkdir", text("up/new") + u32(0o755)) +
                 call(3, "rename", text("up/outside") + text("file") + u32(0)) +
                 call(4, "link", text("up/outside") + text("name")),
        "attributes": call(1, "setattr", text("out") + u32(0) + u32(1 | 8) + attr(0o777, 0)) +
                      call(2, "setattr", text("up/outside") + u32(0) + u32(1 | 8) + attr(0o777, 0)),
        "paths": b"".join(call(i, "unlink", text(path)) for i, path in enumerate(
            ["../outside", "/etc/passwd", "dir/../../outside", "a\0b", "x" * 256, "dir//file", "x/" * 2048 + "x"], 1)),
        "import": call(1, "import", text("up")) + frame(DATA, 1, flags=END),
    }.items():
        write("session_agent", f"escape-{name}", u8(255) + calls)
    write("session_agent", "frames", u8(7) + frame(CANCEL, 9) + frame(CREDIT, 9, u32(1)) + frame(DATA, 9, b"x") +
          frame(DATA, 9, flags=END) + frame(CALL, 9, u32(0), code=999) + frame(DONE, 9))


#
# The client's side of the frames: as above; call 1 is a stat, 2 an export, 3 a list that was given up
#

def client():
    for name, data in {
        "done": frame(DONE, 1, attr()) + frame(DONE, 2, u64(1) + u64(2)) + frame(DONE, 3),
        "errno": frame(DONE, 1, b"'x': no such file", code=2) + frame(DONE, 2, code=512),
        "data": frame(DATA, 2, b"piece") * 3 + frame(DATA, 2, b"last", END) + frame(DONE, 2),
        "data-large": frame(DATA, 2, b"x" * 5000) + frame(DATA, 2, b"y") + frame(DONE, 2),
        "data-behind-end": frame(DATA, 2, flags=END) + frame(DATA, 2, b"x"),
        "data-unasked": frame(DATA, 1, b"x"),
        "credit": frame(CREDIT, 1, u32(0xffffffff)) * 3 + frame(DONE, 1),
        "given-up": frame(DATA, 3, b"x") + frame(DONE, 3) + frame(DONE, 3),
        "call": frame(CALL, 1, u32(0)),
        "cancel": frame(CANCEL, 1),
    }.items():
        write("session_client", name, u8(255) + data)


#
# The codec: a byte for what it is
#

def codec():
    for kind, body in {CALL: u32(0), DONE: b"", DATA: b"x", CREDIT: u32(1), CANCEL: b""}.items():
        write("session_codec", f"header-{kind}", u8(0) + frame(kind, 1, body)[:12])
    write("session_codec", "attr", u8(1) + attr())
    write("session_codec", "entries", u8(2) + entry("a/b") + entry("l", 0o120777, "target"))
    write("session_codec", "names", u8(2) + entry("ok") + entry("x" * 256) + entry("..") + entry("a\0"))
    write("session_codec", "events", u8(3) + event(1, 1, "a") + event(2, 2, "") + event(3, 3, "") + event(4, 9, "b"))


#
# Answers: a byte for the first call, then records
#

def record(kind, data):
    return u8(kind) + u16(len(data)) + data


def done(data=b"", errno=0):
    return record(errno << 1, data)


def data(piece):
    return record(1, piece)


SERVICE = {"service_name": "s", "command": "true", "cwd": "/workspace", "state": "exited", "started_at": 1.5,
           "ready_at": None, "ended_at": 2, "exit_code": -15, "pid": None, "readiness": None, "stop_reason": "sigterm",
           "stdout_size": 9, "stderr_size": 0}
SHELL = {"shell_id": "1", "cwd": "/workspace", "cols": 80, "rows": 24, "state": "running", "started_at": 3,
         "ended_at": None, "exit_code": None, "stdout_size": 7}
COMMAND = {"command_id": "c", "state": "ended", "exit_code": 143, "pid": 12, "started_at": 1, "ended_at": 2,
           "input_taken": 0, "stdout_size": 2, "stderr_size": 0}


def session_answers():
    opened = done(u32(4097) + attr())
    write("session_answers", "names", u8(0) + done(attr()) + data(entry("a") + entry("b", 0o40755)) +
          data(entry("c", 0o120777, "t")) + done(u8(0) + text("c")) + done(text("target")) +
          done(b"".join(map(u64, (4096, 100, 50, 40, 9, 8, 255)))) + done(attr(0o40755)) + done(attr()) + done() +
          done())
    write("session_answers", "list-more", u8(0) + done(attr()) + data(entry("a")) + done(u8(1) + text("a")) +
          data(entry("b")) + done(u8(0) + text("b")))
    write("session_answers", "list-deep", u8(0) + done(attr()) + data(entry("a/b")) + done(u8(0) + text("a")))
    write("session_answers", "list-endless", u8(0) + done(attr()) + data(entry("a")) + done(u8(1) + text("a")) +
          done(u8(1) + text("a")))
    write("session_answers", "refused", u8(0) + done(b"'a/b': gone\x1b[31m", 2) + done(b"", 13) + done(b"\x9b", 127))
    write("session_answers", "file", u8(1) + opened + done(b"x" * 200) + done(attr()) + done(attr()) + done(attr()) +
          done() + done(attr()) + done())
    write("session_answers", "lost", u8(1) + opened + done(b"") + done(b"no room", 28) + done(attr()) + done(attr()))
    write("session_answers", "service", u8(2) + done(obj(**SERVICE)) + data(b"output") +
          done(obj(next=13, ended=True, status=SERVICE)))
    write("session_answers", "shell", u8(3) + data(b"text\xc3") + done(obj(next=14, ended=False, status=SHELL)) +
          done(u32(3)) + done(obj(**SHELL)))
    write("session_answers", "command", u8(4) + done(obj(**COMMAND)) + done(obj(**COMMAND)) + data(b"ok") +
          done(obj(next=2, ended=True, status=COMMAND)) + done(b"{}"))


STAT = "{}//{} 7 1 0 0 5 8 0 0 1 {}\n"
TIMES = "|".join(["2026-11-24 05:52:03.893522260 +0000"] * 3)


def stat(name, mode="81a4"):
    return STAT.format(name, mode, TIMES).encode()


def line_answers():
    script, failed, raw, whole = 0, 1 | 1 << 3, 4, 5
    write("line_answers", "names", u8(0) + record(script, stat("/workspace/a/b")) +
          record(script, stat("/workspace/a/x") + stat("/workspace/a/y y", "41ed")) + record(script, b"target") +
          record(script, b"4096 100 50 40 9 8 255\n") + record(script, stat("/workspace/d", "41ed")) +
          record(script, stat("/workspace/a")) + record(script, b"") + record(script, b""))
    write("line_answers", "refused", u8(0) + record(failed, b"") + record(6, b"[Errno 13] Permission denied: 'x'") +
          record(7, b"") + record(raw, b"no frame"))
    write("line_answers", "list-names", u8(0) + record(script, stat("/workspace/a/b")) +
          record(script, stat("/workspace/a/x/y") + stat("/workspace/a/..") + stat("/etc/passwd")))
    write("line_answers", "odd-times", u8(0) + record(script, stat("/workspace/a/b").replace(b"2026", b"-0044")))
    write("line_answers", "file", u8(1) + record(script, stat("/workspace/f") + b"bytes") +
          record(script, stat("/workspace/f") + b"bytes") + record(script, stat("/workspace/f")) * 3)
    write("line_answers", "file-large", u8(1) + record(2, stat("/workspace/f")) + record(2, stat("/workspace/f")))
    write("line_answers", "service", u8(2) + record(whole, obj(**SERVICE)) + record(script, b"1 1 9 0 1700000000\n") +
          record(script, b"output") + record(script, b"") + record(whole, obj(**SERVICE)) +
          record(script, b"1 1 9 0 1700000000\n"))
    write("line_answers", "shell", u8(3) + record(whole, obj(cursor=9, next_cursor=13, output="text", truncated=False,
                                                             **SHELL)) +
          record(whole, obj(input_length=3, append_newline=False, **SHELL)))
    write("line_answers", "command", u8(4) + record(raw, b"hello\nvsockfs-0123456789abcdef "
                                                    b"/run/vsockfs-0123456789abcdef 42\n") +
          record(script, b"42 1 - 5 0\n") + record(script, b"out") + record(script, b"") + record(script, b""))


def exchange():
    hello = obj(dialect="session/1", agent="a", version="1", limits={"calls": 64}) + b"\n"
    write("exchange", "hello", b"\x02\x10" + hello)
    write("exchange", "hello-and-more", b"\x02\xff" + hello + b"x")
    write("exchange", "hello-as-command", b"\x02\x03" + obj(stdout="x", stderr="", exit_code=0, duration_ms=1) + b"\n")
    write("exchange", "abandoned", b"\x09\x03" + obj(archive_size=40) + b"\n" + b"x" * 40)
    write("exchange", "reset", b"\x04\x03" + b'{"stdout": "')


def others():
    write("reply", "lies", obj(started_at=-1.5, ended_at=1e300, pid=-1, exit_code=2**40, size_bytes=-1, state="\x1b[31m",
                               entries=[{"path": 7}], archive_size=-1, cursor=-1, content_b64="!", output=None))
    write("address", "long", b"unix:/" + b"x" * 8000)


for make in (agent, client, codec, session_answers, line_answers, exchange, others):
    make()
