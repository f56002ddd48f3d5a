"""A small agent of the session dialect, written from docs/protocol.md alone: it tells attributes and lists
single directories, and answers everything else as one that does not have it."""

import errno
import json
import os
import socket
import stat
import struct
import threading

from session_client import CALL, DATA, DONE, HEADER, OPS, Attr, decode, encode


def as_attr(what):
    """The ATTR of a path (a link is itself), or of an open file."""
    st = os.fstat(what) if isinstance(what, int) else os.lstat(what)
    times = [part for ns in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)
             for part in divmod(ns, 10**9)]
    return Attr(st.st_ino, st.st_dev, st.st_rdev, st.st_size, st.st_blocks, st.st_mode,
                st.st_nlink, st.st_uid, st.st_gid, *times)


class SmallAgent:
    """Serves WORKSPACE on the Unix socket PATH, from threads, until stop()."""

    NAMES = {number: name for name, (number, _, _) in OPS.items()}

    def __init__(self, path, workspace):
        self.workspace = os.fsencode(workspace)
        self.asked = []  # names of operations, in order
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.listen, daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def listen(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rwb") as stream:
            hello = json.loads(stream.readline())
            known = "session/1" in hello.get("dialects", [])
            reply = {"dialect": "session/1", "features": ["list"]} if known else \
                {"error": "this agent speaks session/1 only"}
            stream.write(json.dumps(reply).encode() + b"\n")
            stream.flush()
            if known:
                self.session(stream)

    def session(self, stream):
        while len(header := stream.read(HEADER.size)) == HEADER.size:
            size, number, kind, _, code = HEADER.unpack(header)
            body = stream.read(size)
            if kind == CALL:
                self.carry_out(stream, number, self.NAMES.get(code), body[4:])
                stream.flush()

    def carry_out(self, stream, number, name, arguments):
        self.asked.append(name)

        def answer(kind, body, code=0):
            stream.write(HEADER.pack(len(body), number, kind, 0, code) + body)

        try:
            result, data = self.operate(name, *decode(OPS[name][1], arguments))
            if data:
                answer(DATA, data)
            answer(DONE, encode(OPS[name][2], result))
        except OSError as error:
            answer(DONE, error.strerror.encode(), error.errno)

    def operate(self, name, *arguments):
        """What comes of an operation: the fields of its result, and its data."""
        if name == "STAT":
            return [as_attr(self.path(*arguments))], b""
        if name == "LIST":
            return self.list(*arguments)
        raise OSError(errno.EOPNOTSUPP, "this is a small agent")

    def path(self, path):
        return os.path.join(self.workspace, path) if path else self.workspace

    def list(self, path, depth, after, most):
        if depth > 1:
            raise OSError(errno.EOPNOTSUPP, "one level at a time")
        names = [name for name in sorted(os.listdir(self.path(path))) if name > after]
        more, names, data = len(names) > most, names[:most], b""
        for name in names:
            child = os.path.join(self.path(path), name)
            attr = as_attr(child)
            target = os.readlink(child) if stat.S_ISLNK(attr.mode) else b""
            entry = encode("Ass", (attr, name, target))
            data += struct.pack("<I", len(entry)) + entry
        return [more, names[-1] if names else after], data
