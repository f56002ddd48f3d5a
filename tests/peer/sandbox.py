#!/usr/bin/python3
"""A guest for tests without a VM: a bubblewrap sandbox in which DIR is /workspace.

/usr and /etc are the machine's (read-only), /run and /tmp are fresh, processes have a PID
namespace of their own, and all of it ends with the first of them.

    sandbox.py --workspace DIR [--show PATH]... -- COMMAND...

--show makes the directory of PATH (a socket, a log file) visible, and writable, under its own name.
"""

import argparse
import os
import shutil
import subprocess
import sys


def command(workspace, argv, show=(), read_only=()):
    """The bwrap command line that runs ARGV with WORKSPACE as /workspace.

    READ_ONLY: paths, or (path, path inside) pairs.
    """
    line = ["bwrap", "--unshare-pid", "--unshare-ipc", "--die-with-parent",
            "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/tmp"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink("/" + name):
            line += ["--symlink", os.readlink("/" + name), "/" + name]
        elif os.path.isdir("/" + name):
            line += ["--ro-bind", "/" + name, "/" + name]
    for path in read_only:
        outside, inside = path if isinstance(path, tuple) else (path, path)
        line += ["--ro-bind", outside, inside]
    for path in sorted({os.path.dirname(os.path.abspath(path)) for path in show if path}):
        line += ["--bind", path, path]
    return [*line, "--bind", os.path.abspath(workspace), "/workspace", "--chdir", "/", "--",
            *argv]


def bare_command(workspace, agent, arguments, socket, folder):
    """The same for a guest that has nothing but a static agent and busybox; FOLDER is its root."""
    os.makedirs(os.path.join(folder, "bin"), exist_ok=True)
    busybox = os.path.join(folder, "bin/busybox")
    if not os.path.exists(busybox):
        shutil.copy2("/bin/busybox", busybox)
        for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True,
                                     text=True).stdout.split():
            if applet != "busybox":
                os.symlink("busybox", os.path.join(folder, "bin", applet))
    shutil.copy2(agent, os.path.join(folder, "bin/agent"))
    where = os.path.dirname(os.path.abspath(socket))
    return ["bwrap", "--unshare-pid", "--unshare-ipc", "--die-with-parent", "--clearenv",
            "--setenv", "PATH", "/bin", "--ro-bind", folder, "/", "--proc", "/proc",
            "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/tmp", "--bind", where, where,
            "--bind", os.path.abspath(workspace), "/workspace", "--chdir", "/", "--",
            "/bin/agent", *arguments]


def enter(workspace, argv, show=()):
    """Becomes ARGV in the sandbox."""
    here = os.path.dirname(os.path.abspath(__file__))
    line = command(workspace, argv, show, [here])
    try:
        os.execvp(line[0], line)
    except FileNotFoundError:
        sys.exit("sandbox: bubblewrap is missing; ./dev install")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workspace", required=True, metavar="DIR")
    parser.add_argument("--show", action="append", default=[], metavar="PATH")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    enter(options.workspace, options.command, options.show)


if __name__ == "__main__":
    main()
