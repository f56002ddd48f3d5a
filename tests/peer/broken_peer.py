#!/usr/bin/python3
"""A peer that misbehaves on purpose, one way for its whole life.

    broken_peer.py --listen unix:PATH | firecracker:PATH --mode MODE [--healthy N]

The first N connections (default 0) are answered as a healthy guest's exec of an empty command would be
(--agent PATH: passed on to a real agent listening there), the rest as MODE says.
"""

import argparse
import json
import os
import socket
import sys
import threading
import time

OK = {"stdout": "", "stderr": "", "exit_code": 0, "duration_ms": 1}


def read_line(client):
    line = b""
    while not line.endswith(b"\n") and (byte := client.recv(1)):
        line += byte
    return line


def drain(client):
    """Until the client goes: whoever promises and is silent keeps the connection."""
    try:
        while client.recv(1 << 16):
            pass
    except OSError:
        pass


# The bridge's part (firecracker: only): what is said to CONNECT.  True: go on as a guest.

def no_ok(client):
    client.sendall(b"ERR no such port\n")


def closes_without_ok(client):
    pass


def long_handshake(client):
    client.sendall(b"x" * 200)
    drain(client)


def silent_handshake(client):
    drain(client)


HANDSHAKES = {"no-ok": no_ok, "closes-without-ok": closes_without_ok,
              "long-handshake": long_handshake, "silent-handshake": silent_handshake}


# The guest's part: what a request is answered with.

def says(text):
    def answer(client, _request):
        client.sendall(text if isinstance(text, bytes) else text.encode())
    return answer


def export_header(size):
    return json.dumps({"workspace_path": "/workspace", "artifact_type": "directory",
                       "archive_size": size, "entry_count": 1, "bytes_written": 1}) + "\n"


def short_archive(client, _request):
    client.sendall(export_header(1 << 20).encode() + b"\0" * 512)


def endless(client, _request):
    client.sendall(b'{"stdout": "')
    while True:
        client.sendall(b"x" * 65536)


def silent(client, _request):
    drain(client)


def slow(client, _request):
    for byte in json.dumps(OK).encode():
        client.sendall(bytes([byte]))
        time.sleep(0.01)


def never_reads(client, _request):
    time.sleep(3600)


def late(client, _request):
    """An answer that comes after everybody's patience."""
    time.sleep(4)
    client.sendall(json.dumps(OK).encode())


ANSWERS = {
    "array": says("[]"),
    "half-reply": says('{"stdout": "x", "std'),
    "empty-reply": says(""),
    "error-object": says('{"error": "the agent says no"}'),
    "error-control": says('{"error": "two\\nlines\\u001b[31m and an escape"}'),
    "garbage": says(bytes(range(256)) * 4),
    "trailing": says(json.dumps(OK) + "\n{}"),
    "wrong-types": says('{"stdout": 5, "stderr": [], "exit_code": "x", "duration_ms": {}}'),
    "short-archive": short_archive,
    "negative-archive": says(export_header(-1)),
    "huge-archive": says(export_header(1 << 62)),
    "endless": endless,
    "silent": silent,
    "never-reads": never_reads,
    "slow": slow,
    "late": late,
    "deep": says('{"stdout": ' + "[" * 100000),
    "deep-closed": says('{"stdout": ' + "[" * 64 + "]" * 64 + "}"),
    "huge-number": says('{"stdout": "", "stderr": "", "exit_code": ' + "9" * 400 + "}"),
    "huge-real": says('{"stdout": "", "stderr": "", "exit_code": 1e999}'),
    "surrogates": says('{"stdout": "\\ud800\\udfff\\udc80 \\udc00", "stderr": "", "exit_code": 0}'),
    "nul": says('{"stdout": "a\\u0000b", "stderr": "", "exit_code": 0}'),
}

MODES = sorted({*HANDSHAKES, *ANSWERS})


class Peer:
    def __init__(self, options):
        self.options = options
        self.count = 0
        self.lock = threading.Lock()

    def serve(self, listener):
        while True:
            client, _ = listener.accept()
            with self.lock:
                self.count += 1
                healthy = self.count <= self.options.healthy
            threading.Thread(target=self.one, args=(client, healthy), daemon=True).start()

    def one(self, client, healthy):
        try:
            if self.options.kind == "firecracker":
                read_line(client)
                if not healthy and self.options.mode in HANDSHAKES:
                    HANDSHAKES[self.options.mode](client)
                    return
                client.sendall(b"OK 1073741824\n")
            if healthy and self.options.agent:
                pass_on(client, self.options.agent)
            elif healthy:
                read_line(client)
                client.sendall(json.dumps(OK).encode())
            elif self.options.mode == "never-reads":
                never_reads(client, None)
            else:
                ANSWERS[self.options.mode](client, read_line(client))
        except OSError:  # the client had enough
            pass
        finally:
            client.close()


def pass_on(client, path):
    inner = socket.socket(socket.AF_UNIX)
    inner.connect(path)

    def forward():
        try:
            while data := client.recv(1 << 16):
                inner.sendall(data)
        except OSError:
            pass

    threading.Thread(target=forward, daemon=True).start()
    while data := inner.recv(1 << 16):
        client.sendall(data)
    client.shutdown(socket.SHUT_RDWR)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", required=True, metavar="unix:PATH|firecracker:PATH")
    parser.add_argument("--mode", required=True, choices=MODES)
    parser.add_argument("--healthy", type=int, default=0, metavar="N")
    parser.add_argument("--agent", metavar="PATH")
    options = parser.parse_args()
    options.kind, _, path = options.listen.partition(":")
    if options.kind not in ("unix", "firecracker") or not path:
        sys.exit("broken peer: --listen takes unix:PATH or firecracker:PATH")
    if options.mode in HANDSHAKES and options.kind == "unix":
        sys.exit("broken peer: this mode is a bridge's; listen on firecracker:PATH")
    listener = socket.socket(socket.AF_UNIX)
    temporary = f"{path}.{os.getpid()}"
    listener.bind(temporary)
    listener.listen(64)
    os.rename(temporary, path)
    Peer(options).serve(listener)


if __name__ == "__main__":
    main()
