#!/usr/bin/python3
"""Between a mount and an agent's Unix socket: SIGUSR1 breaks all connections that there are,
and when that is done, there is a line on the standard output.

    relay.py PATH AGENT
"""

import contextlib
import os
import signal
import socket
import sys
import threading


def main():
    path, agent = sys.argv[1:]
    pairs = []

    def cut(*_):
        broken = pairs[:]
        pairs.clear()
        for end in (end for pair in broken for end in pair):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        print("cut", flush=True)

    def pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    signal.signal(signal.SIGUSR1, cut)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen()
        os.rename(path + ".new", path)
        while True:
            pair = listener.accept()[0], socket.socket(socket.AF_UNIX)
            pair[1].connect(agent)
            pairs.append(pair)
            for ends in (pair, pair[::-1]):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()


if __name__ == "__main__":
    main()
