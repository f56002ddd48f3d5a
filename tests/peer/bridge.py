#!/usr/bin/python3
"""A VMM's vsock bridge for tests without a VM: a Unix socket with the CONNECT handshake.

Guest port P is the Unix socket DIR/P.sock: whatever listens there, in a sandbox that shows DIR, is what
listens on the guest's port.

    bridge.py --listen PATH --ports DIR [--pause SECONDS]

PATH shows up once it listens.  A port that nobody listens on is closed without a word, as Firecracker does it.
With --pause, what goes to the guest stops for so long after every 64 KiB or less.
"""

import argparse
import os
import socket
import threading
import time


def handshake(client):
    """The port that CLIENT asks for, or None."""
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv(1)
        if not byte or len(line) > 64:
            return None
        line += byte
    word, _, port = line.decode("latin-1").strip().partition(" ")
    return int(port) if word == "CONNECT" and port.isdigit() else None


def pump(source, target, pause=0):
    """Until SOURCE ends, or TARGET takes no more."""
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
            time.sleep(pause)
    except OSError:
        pass
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass


def serve(client, ports, number, pause):
    guest = socket.socket(socket.AF_UNIX)
    try:
        port = handshake(client)
        if port is None:
            raise ConnectionRefusedError
        guest.connect(os.path.join(ports, f"{port}.sock"))
        client.sendall(f"OK {number}\n".encode())
    except OSError:
        guest.close()
        client.close()
        return
    back = threading.Thread(target=pump, args=(guest, client), daemon=True)
    back.start()
    pump(client, guest, pause)
    back.join()
    guest.close()
    client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", required=True, metavar="PATH")
    parser.add_argument("--ports", required=True, metavar="DIR")
    parser.add_argument("--pause", type=float, default=0, metavar="SECONDS")
    options = parser.parse_args()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options.listen + ".new")
    listener.listen(128)
    os.rename(options.listen + ".new", options.listen)
    number = 1073741824
    while True:
        client, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, daemon=True,
                         args=(client, options.ports, number, options.pause)).start()


if __name__ == "__main__":
    main()
