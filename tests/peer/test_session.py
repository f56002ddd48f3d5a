"""The frames of the session dialect, by a client that was written from docs/protocol.md."""

import errno
import json
import os
import socket
import struct

import pytest

import session_client as dialect
from session_client import (CALL, CANCEL, CHANGED, CREDIT, DATA, DONE, END, ENTRIES, NOW, RESCAN,
                            WINDOW, Attr, Broken, Failed, Refused, events)
from session_place import refused

READ, WRITE, CREATE = 1, 2, 4


def say_hello(place, **members):
    """The answer to a hello, and whether the agent closed behind it."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(dialect.PATIENCE)
        caller.connect(place.guest.socket)
        caller.sendall(json.dumps({"action": "hello", **members}).encode() + b"\n")
        stream = caller.makefile("rb")
        reply = json.loads(stream.readline())
        return reply, "error" in reply and stream.read() == b""


def test_hello(place):
    reply, _ = say_hello(place, dialects=["session/1"])  # without a command
    assert reply["dialect"] == "session/1"
    assert set(reply["features"]) >= {"files", "list", "archive", "batch", "watch", "processes"}
    assert reply["limits"].items() >= {"frame": 135168, "io": 131072, "window": 262144}.items()
    assert all(isinstance(reply[key], str) for key in ("agent", "version", "build"))
    for dialects in (["session/2", "session/1"], ["session/1", "session/2"], [7, "session/1"]):
        reply, _ = say_hello(place, dialects=dialects, command=":", timeout_seconds=10, more={})
        assert reply["dialect"] == "session/1"
    for dialects in (["session/2"], [], None, "session/1"):
        reply, closed = say_hello(place, dialects=dialects, command=":")
        assert list(reply) == ["error"] and "session/1" in reply["error"] and closed
    assert say_hello(place, dialects=["session/1"], client="x" * 65)[1]
    for attempt in ("1", 1.5, [], True):
        reply, closed = say_hello(place, dialects=["session/1"], client="x", attempt=attempt)
        assert reply == {"error": "an attempt is an integer"} and closed


def test_a_client_that_comes_again(place):
    first = place.session(client="me", attempt=3)
    other = place.session(client="you", attempt=1)
    handle, _ = first.call("OPEN", "f", WRITE | CREATE, 0o600)
    second = place.session(client="me", attempt=4)
    with pytest.raises(Broken):
        first.call("WRITE", handle, 0, 0, b"late")
    assert place.get("f") == b""
    refused(errno.EBADF, second, "FSTAT", handle)
    with pytest.raises(Refused) as late:
        place.session(client="me", attempt=3)
    assert late.value.args[0]["busy"] is True
    second.call("STATFS")
    other.call("STATFS")


def test_bodies_that_are_none(place, s):
    for body in (b"", b"\5\0\0\0a", b"\1\0\0\0fg"):
        refused(errno.EPROTO, s, "STAT", body=body)
    refused(errno.EPROTO, s, "STATFS", body=b"x")
    refused(errno.EPROTO, s, "SETATTR", "", 0, 16, Attr(atime_ns=NOW + 1))
    for body in (b"{", b"[]", b"{} {}"):
        refused(errno.EPROTO, s, "SERVICE_LIST", body=body)
    assert s.call("SERVICE_LIST", body=b"") == {"services": [], "more": False}
    refused(errno.EINVAL, s, "SERVICE_STATUS", {})
    refused(errno.EINVAL, s, "SERVICE_STATUS", {"service_name": 7})
    for number in (0, 23, 65535):
        call = s.start(number, body=b"anything")
        s.until(lambda: call.answer)
        assert call.answer[0] == errno.EOPNOTSUPP


def test_streams_wait_for_credit(place, s):
    place.put("big", os.urandom(1000000))
    call = s.start("EXPORT", "big")
    s.until(lambda: call.received == WINDOW)
    s.call("STATFS")  # nothing else is held up
    _, frames = s.drain(call)
    assert len(b"".join(frames)) == call.received > 1000000
    call = s.start("EXPORT", "big")
    s.until(lambda: call.frames)
    s.cancel(call)
    with pytest.raises(Failed) as failed:
        s.result(call)
    assert failed.value.errno == errno.ECANCELED and call.received <= WINDOW
    refused(errno.ETIMEDOUT, s, "EXPORT", "big", deadline=100)
    refused(errno.ETIMEDOUT, s, "IMPORT", "", deadline=100)
    # More credit than anybody needs, and for what has no use for it, is no error.
    call = s.start("EXPORT", "big")
    for credit in (0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF):
        s.frame(CREDIT, call.id, struct.pack("<I", credit))
    call.may_get += 1 << 32
    assert len(b"".join(s.drain(call)[1])) > 1000000


def test_watch_and_barrier(place, s):
    watch = s.start("WATCH", 0)
    began = s.call("BARRIER")

    def heard():
        sequence, frames = s.drain(s.start("BARRIER"), watch)
        told = list(events(frames))
        assert [e.sequence for e in told] == sorted(e.sequence for e in told)
        assert all(began < event.sequence <= sequence for event in told)
        return {(event.kind, event.path) for event in told}

    place.put(b"n\xff")
    assert heard() == {(ENTRIES, b""), (CHANGED, b"n\xff")}
    s.call("MKDIR", "d", 0o755)
    heard()
    place.put("d/f")
    assert heard() == {(ENTRIES, b"d"), (CHANGED, b"d/f")}
    s.call("SETATTR", "d/f", 0, 1, Attr(mode=0o600))
    assert heard() == {(CHANGED, b"d/f")}
    s.call("RENAME", "d/f", "g", 0)
    assert heard() == {(ENTRIES, b"d"), (CHANGED, b"d/f"), (ENTRIES, b""), (CHANGED, b"g")}
    s.call("STAT", "g")
    assert heard() == set()
    # Another one is told what came since, or that this is not known.
    again, stranger = s.start("WATCH", began), s.start("WATCH", 5)
    _, frames = s.drain(s.start("BARRIER"), again)
    assert {(ENTRIES, b""), (CHANGED, b"n\xff"), (CHANGED, b"g")} <= \
        {(event.kind, event.path) for event in events(frames)}
    assert [event[1:] for event in events(s.take(stranger))] == [(RESCAN, b"")]
    s.cancel(watch)
    with pytest.raises(Failed) as failed:
        s.result(watch)
    assert failed.value.errno == errno.ECANCELED


def test_many_calls_at_once(place, s):
    handle, _ = s.call("OPEN", "f", READ | WRITE | CREATE, 0o600)
    calls = [s.start("WRITE", handle, 4 * at, 0, struct.pack("<I", at)) for at in range(2000)]
    calls.append(s.start("STAT", "f"))
    assert s.result(calls[-1]).size == 8000
    assert s.finished[-2001:] == calls  # quick ones, in the order in which they were sent
    s.call("COMMAND_START", {"command_id": "c", "argv": ["sleep", "1000"]})
    end = {"kind": "command", "name": "c", "for": "end"}
    waiting = [s.start("WAIT", end) for _ in range(s.hello["limits"]["calls"] + 10)]
    s.call("STAT", "f")
    s.until(lambda: sum(call.answer is not None for call in waiting) == 10)
    assert {call.answer[0] for call in waiting if call.answer} == {errno.EAGAIN}
    waiting = [call for call in waiting if not call.answer]
    refused(errno.EAGAIN, s, "WAIT", end)
    for _ in range(20):
        gone = waiting.pop(0)
        s.cancel(gone)
        s.until(lambda: gone.answer)
        waiting.append(s.start("WAIT", end, number=gone.id))
    s.cancel(waiting[0])
    s.until(lambda: waiting[0].answer)
    refused(errno.ETIMEDOUT, s, "WAIT", end, deadline=50)
    s.call("COMMAND_FORGET", {"command_id": "c"}, number=waiting[0].id)  # an id that is free again
    assert {s.result(call)["exit_code"] for call in waiting[1:]} == {128 + 9}


def test_info(s):
    info = s.call("INFO")
    assert info.items() >= s.hello.items()
    assert info["sessions"] == 1 and info["uptime_ms"] >= 0


NO_DEADLINE = struct.pack("<I", 0)
PATH = NO_DEADLINE * 2  # and a path


# Number, kind, flags, code, body; the call 1 is one that takes no data.
@pytest.mark.parametrize("frame", [
    (0, CALL, 0, 18, NO_DEADLINE), (9, 0, 0, 0, b""), (9, 6, 0, 0, b""), (1, DONE, 0, 0, b""),
    (9, CALL, END, 18, NO_DEADLINE), (9, CALL, 0, 18, b"abc"), (1, CALL, 0, 1, PATH),
    (1, CREDIT, 0, 0, b"abc"), (1, CREDIT, END, 0, b"abcd"), (1, CREDIT, 0, 1, b"abcd"),
    (1, CANCEL, 0, 0, b"a"), (1, CANCEL, END, 0, b""), (9, DATA, 2, 0, b"a"),
    (9, DATA, 0, 1, b"a"), (9, DATA, 0, 0, b""), (1, DATA, 0, 0, b"a"), (1, DATA, END, 0, b"")])
def test_frames_that_break(place, s, frame):
    s.start("WATCH", 0, number=1)
    number, kind, flags, code, body = frame
    s.frame(kind, number, body, flags, code)
    with pytest.raises(Broken, match="closed"):
        s.until(lambda: False)


@pytest.mark.parametrize("sizes, flags", [([65536] * 8, 0), ([1, 1], END)])
def test_data_that_breaks(place, s, sizes, flags):
    """Over the credit, of which little more is given where nobody reads, or behind the end."""
    s.call("COMMAND_START", {"argv": ["sleep", "1000"], "command_id": "c", "input": True})
    call = s.start("COMMAND_INPUT", {"command_id": "c"})
    for size in sizes:
        s.frame(DATA, call.id, bytes(size), flags)
    with pytest.raises(Broken, match="closed"):
        s.until(lambda: False)


def test_a_header_is_judged_before_its_body(place):
    s = place.session()
    s.outgoing += dialect.HEADER.pack(dialect.MAX_BODY + 1, 1, CALL, 0, 1)
    with pytest.raises(Broken, match="closed"):
        s.until(lambda: False)
    s = place.session()
    refused(errno.EPROTO, s, "STAT", body=bytes(dialect.MAX_BODY - 4))


def test_what_crossed_an_answer_is_dropped(place, s):
    number = s.start("STATFS").id
    for known in (number, 77):
        s.frame(DATA, known, b"late")
        s.frame(CREDIT, known, b"\1\0\0\0")
        s.frame(CANCEL, known)
    s.call("STAT", "")
    watch = s.start("WATCH", 0)
    s.cancel(watch)
    s.frame(CANCEL, watch.id)
    s.until(lambda: watch.answer)
    assert watch.answer[0] == errno.ECANCELED
    s.call("STAT", "", number=watch.id)
