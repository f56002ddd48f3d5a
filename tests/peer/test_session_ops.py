"""What is meant by the operations of the session dialect, by a client written from docs/protocol.md.

What each does in every case is in the unit tests.
"""

import errno
import io
import os
import struct
import tarfile

import pytest

import session_client as dialect
from session_agent import as_attr
from session_client import LAST_OPENED, NOW, Attr, Failed, batch, batch_results, entries
from session_place import refused

READ, WRITE, CREATE, EXCLUSIVE, TRUNCATE, APPEND = 1, 2, 4, 8, 16, 32


def test_attributes_and_names_are_bytes(place, s):
    place.put("f", b"hello")
    os.symlink(b"to \xff", place.path("l"))
    os.mkfifo(place.path(b"\xfe"), 0o640)
    for name in (b"", b"f", b"l", b"\xfe"):
        assert s.call("STAT", name) == as_attr(place.path(name)), name
    assert s.call("READLINK", "l") == b"to \xff"
    assert "'gone" in refused(errno.ENOENT, s, "STAT", b"gone\xff\n")


def test_paths_that_are_none(place, s):
    os.symlink("/etc", place.path("out"))
    os.symlink("../..", place.path("up"))
    os.symlink(".", place.path("in"))
    place.put("f")
    for path in ("/f", "f/", "in//f", ".", "in/../f", "../f", b"f\0"):
        refused(errno.EINVAL, s, "STAT", path)
    for path in ("x" * 256, "/".join(["x" * 255] * 16) + "/xx"):
        refused(errno.ENAMETOOLONG, s, "STAT", path)
    for path in ("out/passwd", "up/f"):
        refused(errno.EXDEV, s, "STAT", path)
    refused(errno.ENOTDIR, s, "STAT", "f/x")
    assert s.call("STAT", "in/in/f") == as_attr(place.path("f"))


def test_files(place, s):
    handle, attr = s.call("OPEN", "f", READ | WRITE | CREATE | EXCLUSIVE, 0o6754)
    assert attr._replace(generation=0) == as_attr(place.path("f")) and attr.mode & 0o7777 == 0o6754
    refused(errno.EEXIST, s, "OPEN", "f", WRITE | CREATE | EXCLUSIVE, 0)
    assert s.call("WRITE", handle, 3, 0, b"data") == as_attr(place.path("f"))
    assert s.call("WRITE", handle, 0, 1, b"!").size == 8
    assert place.get("f") == b"\0\0\0data!"
    assert s.call("READ", handle, 3, 131072) == b"data!" and s.call("READ", handle, 9, 1) == b""
    refused(errno.EINVAL, s, "READ", handle, 0, 131073)
    refused(errno.EINVAL, s, "WRITE", handle, 0, 0, b"x" * 131073)
    assert s.call("WRITE", handle, 8, 0, b"x" * 131072).size == 131080
    assert len(s.call("READ", handle, 0, 131072)) == 131072
    assert s.call("FSYNC", handle, 0) == s.call("FSTAT", handle) == as_attr(place.path("f"))
    everything = Attr(mode=0o640, uid=5, gid=6, size=4, atime=-5, atime_ns=7, mtime=8, mtime_ns=9)
    attr = s.call("SETATTR", "", handle, 63, everything)
    assert attr == as_attr(place.path("f"))
    assert attr[5] == 0o100640 and attr[3::4][:1] == (4,) and attr[7:13] == (5, 6, -5, 7, 8, 9)
    assert s.call("SETATTR", "f", 0, 32, Attr(mtime_ns=NOW)).mtime > 8
    for mask, flags in ((64, 0), (0, 64), (0, CREATE)):
        refused(errno.EINVAL, s, *(("SETATTR", "f", 0, mask, Attr()) if mask else
                                   ("OPEN", "f", flags, 0)))
    s.call("UNLINK", "f")
    assert s.call("FSTAT", handle).nlink == 0
    s.call("CLOSE", handle)
    for name, *more in (("CLOSE",), ("READ", 0, 1), ("FSTAT",), ("FSYNC", 0)):
        refused(errno.EBADF, s, name, handle, *more)
    refused(errno.EBADF, s, "FSTAT", LAST_OPENED)
    for path, number in (("", errno.EISDIR), ("none", errno.ENOENT)):
        refused(number, s, "OPEN", path, READ, 0)
    place.put("g", b"old")
    s.call("OPEN", "g", WRITE | TRUNCATE | APPEND, 0)
    assert place.get("g") == b""


def test_names(place, s):
    assert s.call("MKDIR", "d", 0o1777) == as_attr(place.path("d"))
    assert s.call("MKNOD", "d/p", 0o10622) == as_attr(place.path("d/p"))
    assert s.call("SYMLINK", "p", "d/l") == as_attr(place.path("d/l"))
    assert s.call("LINK", "d/l", "l2") == as_attr(place.path("l2"))
    refused(errno.EPERM, s, "MKNOD", "dev", 0o20644)
    refused(errno.ENAMETOOLONG, s, "SYMLINK", "x" * 4096, "x")
    refused(errno.EINVAL, s, "SYMLINK", "x\0", "x")
    refused(errno.EEXIST, s, "RENAME", "l2", "d/p", 1)
    refused(errno.EINVAL, s, "RENAME", "l2", "d/p", 4)
    s.call("RENAME", "l2", "d/p", 2)
    assert os.path.islink(place.path("d/p"))
    s.call("RENAME", "d/p", "q", 0)
    refused(errno.ENOTEMPTY, s, "RMDIR", "d")
    for name, path in (("UNLINK", "l2"), ("UNLINK", "q"), ("UNLINK", "d/l"), ("RMDIR", "d")):
        assert s.call(name, path) == []
    assert os.listdir(place.top) == []
    block, blocks, free, available, files, _, longest = s.call("STATFS")
    st = os.statvfs(place.top)
    assert (block, blocks, files, longest) == (st.f_frsize, st.f_blocks, st.f_files, 255)
    assert blocks >= free >= available
    assert s.call("SYNC") == []


def test_lists(place, s):
    os.makedirs(place.path("d/e"))
    for name in ("a", "d/e/x", "d.x", "d/z"):
        place.put(name)
    os.symlink("d", place.path("l"))
    tree = [b"a", b"d", b"d/e", b"d/e/x", b"d/z", b"d.x", b"l"]

    def told(path, depth, after="", most=100):
        (more, last), frames = s.collect("LIST", path, depth, after, most)
        found = list(entries(frames))
        for name, attr, target in found:
            now = as_attr(place.path(os.path.join(os.fsencode(path), name)))
            assert attr == now._replace(atime=attr.atime, atime_ns=attr.atime_ns)  # it has read
            assert target == (b"d" if name == b"l" else b"")
        return [name for name, _, _ in found], more, last

    assert told("", 255) == (tree, 0, b"l")
    assert told("", 1) == ([b"a", b"d", b"d.x", b"l"], 0, b"l")
    assert told("", 2)[0] == [name for name in tree if name != b"d/e/x"]
    assert told("d", 255) == ([b"e", b"e/x", b"z"], 0, b"z")
    last, pieces = b"", []
    while True:
        names, more, last = told("", 255, last, 2)
        pieces += names
        assert len(names) == (2 if more else 1) and last == names[-1]
        if not more:
            break
    assert pieces == tree
    assert told("", 255, "d/e/y")[0] == [b"d/z", b"d.x", b"l"]
    assert told("d/e", 1, "x") == ([], 0, b"x")
    refused(errno.EINVAL, s, "LIST", "", 0, "", 1)
    refused(errno.EINVAL, s, "LIST", "", 1, "", 0)
    refused(errno.ENOTDIR, s, "LIST", "l", 1, "", 1)


def test_batches(place, s):
    def results(go_on, *calls):
        return [getattr(result, "errno", result) for result in
                batch_results(calls, s.call("BATCH", go_on, batch(*calls)))]

    place.put("f", b"content")
    opened, content, closed = results(0, ("OPEN", "f", READ, 0), ("READ", LAST_OPENED, 2, 9),
                                      ("CLOSE", LAST_OPENED))
    assert opened[1].size == 7 and content == [b"ntent"] and closed == []
    assert results(0, ("RMDIR", "none"), ("STAT", "f")) == [errno.ENOENT]
    calls = [("OPEN", "none", READ, 0), ("FSTAT", LAST_OPENED), ("LIST", "", 1, "", 1),
             ("BATCH", 0, b""), ("SYNC",), ("UNLINK", "f")]
    assert results(1, *calls) == [errno.ENOENT, errno.EBADF, errno.EINVAL, errno.EINVAL, [], []]
    unknown = struct.pack("<HI", 23, 0) + struct.pack("<HI", 1, 1) + b"x"
    answer = dialect.Reader(s.call("BATCH", 1, unknown))
    found = []
    while answer.left:
        found.append(answer.field("H"))
        answer.field("s")
    assert found == [errno.EOPNOTSUPP, errno.EPROTO]
    for name in ("x" * 200, "x" * 201):
        results(0, ("RENAME", name, "é" * 100, 0))  # where its sentence is cut
    refused(errno.EPROTO, s, "BATCH", 0, batch(("MKDIR", "m", 0o755)) + b"\1")
    assert not os.path.exists(place.path("m"))
    assert 1000 < len(results(0, *[("STAT", "")] * 2000)) < 2000  # what fits the answer


def test_archives(place, s):
    os.makedirs(place.path("t/sub"))
    place.put("t/a", b"aaa")
    os.symlink("a", place.path("t/l"))
    os.link(place.path("t/a"), place.path("t/sub/b"))
    (members, size), frames = s.collect("EXPORT", "t")
    assert (members, size) == (4, 3)
    archive = tarfile.open(fileobj=io.BytesIO(b"".join(frames)))
    assert [(m.name, m.type, m.linkname) for m in archive] == [
        ("a", tarfile.REGTYPE, ""), ("l", tarfile.SYMTYPE, "a"), ("sub", tarfile.DIRTYPE, ""),
        ("sub/b", tarfile.LNKTYPE, "a")]
    refused(errno.ENOENT, s, "EXPORT", "none")

    os.mkdir(place.path("copy"))
    assert s.upload("IMPORT", "copy", data=b"".join(frames)) == [4, 3]
    assert os.stat(place.path("copy/sub/b")).st_nlink == 2 and place.get("copy/a") == b"aaa"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
        info = tarfile.TarInfo("big")
        info.size = 2000000
        archive.addfile(info, io.BytesIO(bytes(2000000)))
    for number, path, data in ((errno.ENOENT, "none", b"x"), (errno.ENOTDIR, "t/l", b"x"),
                               (errno.EBADMSG, "copy", b"no archive" * 100),
                               (errno.EPERM, "copy", out.getvalue())):
        with pytest.raises(Failed) as failed:
            s.upload("IMPORT", path, data=data)
        assert failed.value.errno == number, failed.value


def wait(session, kind, name, what="end"):
    return session.call("WAIT", {"kind": kind, "name": name, "for": what})


def output(session, kind, name, **more):
    status, frames = session.collect("STREAM", {"kind": kind, "name": name, **more})
    return b"".join(frames), status


def test_commands(place, s):
    command = s.call("COMMAND_START", {"argv": ["printf", "%s|", "a  b", "\udcff"]})
    name = command["command_id"]
    assert wait(s, "command", name)["exit_code"] == 0
    content, end = output(s, "command", name)
    assert content == b"a  b|\xff|" and end["next"] == 7 and end["ended"] is True
    assert end["status"]["state"] == "ended" and end["status"]["stdout_size"] == 7
    assert output(s, "command", name, offset=1, max=3)[0] == b"  b"
    assert s.call("COMMAND_FORGET", {"command_id": name}) == {}
    refused(errno.ENOENT, s, "COMMAND_STATUS", {"command_id": name})
    refused(errno.EINVAL, s, "COMMAND_START", {})
    assert '"first"' in refused(errno.EINVAL, s, "COMMAND_START", {"command": ":", "input": "last"})
    refused(errno.ENOENT, s, "COMMAND_START", {"argv": ["no-such-program"]})

    s.call("COMMAND_START", {"command": "echo $PWD $A >&2; cat; exit 3", "command_id": "c",
                             "input": True, "env": {"A": "b"}})
    refused(errno.EEXIST, s, "COMMAND_START", {"command": ":", "command_id": "c"})
    stream = s.start("STREAM", {"kind": "command", "name": "c", "follow": True})
    sending = s.start("COMMAND_INPUT", {"command_id": "c"})
    s.send(sending, b"x" * 300000, end=False)
    refused(errno.EBUSY, s, "COMMAND_INPUT", {"command_id": "c"})
    s.send(sending, b"y")
    status, frames = s.drain(stream)
    assert b"".join(frames) == b"x" * 300000 + b"y" and status["next"] == 300001
    assert s.result(sending)["input_taken"] == 300001
    assert status["status"]["exit_code"] == 3
    assert output(s, "command", "c", stream=2)[0] == b"/workspace b\n"

    first = s.call("COMMAND_START", {"command": "wc -c", "command_id": "f", "input": "first"})
    assert first["state"] == "waiting" and first["pid"] is None
    ready = s.start("WAIT", {"kind": "command", "name": "f", "for": "ready"})
    s.upload("COMMAND_INPUT", {"command_id": "f"}, data=b"z" * 12345)
    assert s.result(ready)["state"] in ("running", "ended")
    wait(s, "command", "f")
    assert output(s, "command", "f")[0] == b"12345\n"

    for more, code in (({"timeout_seconds": 0.1}, 124), ({}, 128 + 10)):
        name = s.call("COMMAND_START", {"argv": ["sleep", "1000"], **more})["command_id"]
        if not more:
            s.call("COMMAND_SIGNAL", {"command_id": name, "signal": "USR1"})
        assert wait(s, "command", name)["exit_code"] == code


def test_services(place, s):
    service = s.call("SERVICE_START", {"service_name": "web", "command": "echo up; sleep 1000",
                                       "readiness": {"type": "file", "path": "ready"},
                                       "ready_interval_ms": 10})
    assert service["state"] == "running" and service["ready_at"] is None
    refused(errno.EBUSY, s, "SERVICE_START", {"service_name": "web", "command": ":"})
    ready = s.start("WAIT", {"kind": "service", "name": "web", "for": "ready"})
    place.put("ready")
    assert s.result(ready)["ready_at"] is not None
    listed = s.call("SERVICE_LIST", {})
    assert [item["service_name"] for item in listed["services"]] == ["web"] and not listed["more"]
    assert s.call("SERVICE_LIST", {"after": "web"})["services"] == []
    stream = s.start("STREAM", {"kind": "service", "name": "web", "follow": True})
    s.until(lambda: stream.frames)
    stopped = s.call("SERVICE_STOP", {"service_name": "web"})
    assert stopped["state"] == "stopped" and stopped["exit_code"] == -15
    end, frames = s.drain(stream)
    assert b"".join(frames) == b"up\n" and end["ended"] and end["status"]["state"] == "stopped"
    refused(errno.ENOENT, s, "SERVICE_STOP", {"service_name": "none"})


def test_shells(place, s):
    shell = s.call("SHELL_OPEN", {"shell_id": "sh", "redact_values": ["hidden"]})
    assert (shell["cols"], shell["rows"], shell["state"]) == (120, 30, "running")
    refused(errno.EEXIST, s, "SHELL_OPEN", {"shell_id": "sh"})
    stream = s.start("STREAM", {"kind": "shell", "name": "sh", "follow": True})
    seen = b""

    def type_and_see(text, what):
        nonlocal seen
        assert s.call("SHELL_WRITE", "sh", text) == len(text)
        while what not in seen:
            s.until(lambda: stream.frames)
            seen += b"".join(s.take(stream))

    type_and_see(b"stty size; echo hid''den\n", b"[REDACTED]\r\n")
    assert b"30 120\r\n" in seen
    s.call("SHELL_RESIZE", {"shell_id": "sh", "cols": 101, "rows": 33})
    type_and_see(b"stty size\n", b"33 101\r\n")
    type_and_see(b"sh -c 'echo be\"\"gun; exec sleep 1000'\n", b"begun")
    s.call("SHELL_SIGNAL", {"shell_id": "sh"})
    assert s.call("SHELL_WRITE", "sh", b"exit 7\n") == 7
    assert wait(s, "shell", "sh")["exit_code"] == 7
    end, frames = s.drain(stream)
    assert end["ended"] and end["next"] == end["status"]["stdout_size"] == \
        len(seen + b"".join(frames))
    refused(errno.EBUSY, s, "SHELL_WRITE", "sh", b"x")
    assert s.call("SHELL_CLOSE", {"shell_id": "sh"})["state"] == "stopped"
    refused(errno.ENOENT, s, "SHELL_STATUS", {"shell_id": "sh"})
