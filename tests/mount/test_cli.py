"""The command line: help, options, several guests, fstab, the background, one-line failures."""

import os
import pwd
import re
import signal
import subprocess

import pytest
from harness import (BUILD, ENV, PATIENCE, ROOT, binary, is_mounted, put, run, text, wait_until)


def vsockfs(*argv, timeout=60, **more):
    return subprocess.run([binary("vsockfs"), *map(str, argv)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, env=ENV, check=False,
                          **more)


@pytest.fixture
def point(yard):
    path = yard.folder / "mnt"
    path.mkdir()

    def undo():
        if is_mounted(path):
            subprocess.run(["fusermount3", "-u", "-z", path], check=True)
    yard.at_end(undo)
    return path


def one_line(done, *words):
    """It failed with one line that has all of WORDS, and mounted nothing."""
    assert done.returncode not in (0, None) and done.returncode > 0, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, f"not one line: {done.stderr!r}"
    assert lines[0].startswith("vsockfs: "), lines[0]
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"
    assert done.stdout == ""


def unmount_and_wait(point):
    """fusermount3 -u, and until the daemon in the background has ended."""
    pids = daemons(point)
    assert pids
    run("fusermount3", "-u", point)
    wait_until(lambda: not daemons(point), "the daemon ends")


def daemons(point):
    """Every process of vsockfs (and its sandbox) that names POINT or lives below its parent."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as source:
                    words = source.read().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if os.fsencode(point) in words and b"vsockfs" in os.path.basename(words[0]):
                found.append(int(entry))
    return found


def test_version():
    for flag in ("-V", "--version"):
        done = vsockfs(flag)
        assert done.returncode == 0
        assert re.search(r"^vsockfs (version )?\d+\.\d+\.\d+", done.stdout, re.M)
    done = subprocess.run([binary("vsockfs-agent"), "--version"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_help():
    for flag in ("-h", "--help"):
        done = vsockfs(flag)
        assert done.returncode == 0
        for word in ("SOURCE", "MOUNTPOINT", "firecracker:", "vsock:", "unix:", "local:", "-o",
                     "-f", "-d", "timeout", "attr_timeout", "idmap", "symlinks", "sync_write",
                     "local_net", "max_connections", "agent=auto|never"):
            assert word in done.stdout, word
    done = subprocess.run([binary("vsockfs-agent"), "--help"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and "--listen" in done.stdout


def test_an_agent_with_wrong_words():
    for words, said in (([], "--listen is missing, as in --listen vsock:5005"),
                        (["--listen", "unix:/none/x", "more"], "'more' is no option")):
        done = subprocess.run([binary("vsockfs-agent"), *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"vsockfs-agent: {said}\nTry 'vsockfs-agent --help'.\n"


def test_an_agent_without_a_workspace(yard):
    file = yard.folder / "file"
    file.touch()
    for path, said in ((yard.folder / "none/deep", "there is no workspace {}, and it cannot be made: "
                        "No such file or directory"), (file, "the workspace {} is not a directory")):
        done = subprocess.run([binary("vsockfs-agent"), "--workspace", path, "--listen",
                               f"unix:{yard.folder}/sock"], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"vsockfs-agent: {said.format(path)}\n"


@pytest.mark.parametrize("argv, words", [
    ([], ["SOURCE"]),
    (["MNT"], ["SOURCE"]),
    (["nonsense", "MNT"], ["nonsense"]),
    (["tcp:1.2.3.4", "MNT"], ["tcp"]),
    (["vsock:", "MNT"], ["vsock"]),
    (["vsock:3x", "MNT"], ["3x"]),
    (["vsock:0", "MNT"], ["0"]),
    (["vsock:3:0", "MNT"], ["0"]),
    (["vsock:3:99999999999", "MNT"], ["99999999999"]),
    (["unix:", "MNT"], ["unix"]),
    (["unix:/none/agent.sock", "MNT"], ["/none/agent.sock"]),
    (["firecracker:/none/v.sock", "MNT"], ["/none/v.sock"]),
    (["local:/none/dir", "MNT"], ["/none/dir"]),
    (["ctl=local:DIR", "MNT"], ["ctl"]),
    (["-x=local:DIR", "MNT"], ["-x"]),
    (["a=local:DIR", "a=local:DIR", "MNT"], ["a"]),
    (["-o", "nonsense=1", "local:DIR", "MNT"], ["nonsense"]),
    (["-o", "timeout=soon", "local:DIR", "MNT"], ["timeout"]),
    (["-o", "timeout=-1", "local:DIR", "MNT"], ["timeout"]),
    (["-o", "max_connections=0", "local:DIR", "MNT"], ["max_connections"]),
    (["-o", "agent=maybe", "local:DIR", "MNT"], ["agent=maybe", "auto", "never"]),
    (["-o", "agent=", "local:DIR", "MNT"], ["agent=", "auto", "never"]),
    (["-o", "agent", "local:DIR", "MNT"], ["agent"]),
    (["local:DIR", "/none/mnt"], ["/none/mnt"]),
    (["local:DIR", ""], ["MOUNTPOINT", "empty"]),
    (["", "MNT"], ["'' is no address"]),
], ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else None)
def test_wrong_command_lines(yard, point, argv, words):
    folder = yard.folder / "dir"
    folder.mkdir()
    argv = [word.replace("MNT", str(point)).replace("DIR", str(folder)) for word in argv]
    done = vsockfs(*argv)
    one_line(done, *words)
    assert not is_mounted(point)


def test_mount_points_that_will_not_do(yard, point):
    folder = yard.folder / "dir"
    folder.mkdir()
    (point / "something").touch()
    one_line(vsockfs(f"local:{folder}", point), str(point), "empty")
    (point / "something").unlink()
    file = yard.folder / "file"
    file.touch()
    one_line(vsockfs(f"local:{folder}", file), str(file), "directory")
    assert not is_mounted(point)
    (point / "something").touch()
    done = vsockfs("-o", "nonempty", f"local:{folder}", point)
    assert done.returncode == 0, done.stderr
    assert os.listdir(point / "guest/workspace") == []
    unmount_and_wait(point)
    assert os.listdir(point) == ["something"]


def test_in_the_background(yard, point):
    """The command returns when the mount is up, and leaves nothing on the terminal."""
    folder = yard.folder / "dir"
    folder.mkdir()
    (folder / "f").write_text("there")
    done = vsockfs(f"local:{folder}", point)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert is_mounted(point)
    assert text(point / "guest/workspace/f") == "there"
    put(point / "guest/workspace/g", "back")
    assert (folder / "g").read_text() == "back"
    unmount_and_wait(point)
    assert not is_mounted(point)


def test_relative_paths_and_spaces(yard):
    folder = yard.folder / "a dir, with = odd"
    (folder / "mnt here").mkdir(parents=True)
    (folder / "ws").mkdir()
    (folder / "ws/f").write_text("x")
    done = vsockfs("box=local:ws", "mnt here", cwd=folder)
    assert done.returncode == 0, done.stderr
    try:
        assert text(folder / "mnt here/box/workspace/f") == "x"
    finally:
        run("fusermount3", "-u", folder / "mnt here")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unmounts(yard, number):
    guest = yard.guest("local")
    m = yard.mount(guest)
    m.allow_output(r"ending")
    put(m.w / "f", "x")
    m.process.child.send_signal(number)
    assert m.wait_for_end() == 0
    assert not is_mounted(m.point)


def test_two_guests(yard):
    one, two = yard.guest("local", "one"), yard.guest("unix", "two")
    m = yard.mount({"one": one, "two": two})
    assert sorted(os.listdir(m.point)) == ["ctl", "error", "metrics", "one", "status", "two",
                                           "version"]
    put(m.point / "one/workspace/f", "first")
    put(m.point / "two/workspace/f", "second")
    assert (one.workspace / "f").read_text() == "first"
    assert (two.workspace / "f").read_text() == "second"
    run("cp", m.point / "one/workspace/f", m.point / "two/workspace/copied")
    run("mv", m.point / "two/workspace/f", m.point / "one/workspace/moved")
    assert (two.workspace / "copied").read_text() == "first"
    assert (one.workspace / "moved").read_text() == "second"
    assert os.listdir(two.workspace) == ["copied"]
    for name in ("one", "two"):
        path = m.point / name / "exec/x"
        os.mkdir(path)
        put(path / "ctl", "run cat f moved copied 2>/dev/null\n")
    assert text(m.point / "one/exec/x/stdout") == "firstsecond"
    assert text(m.point / "two/exec/x/stdout") == "first"
    first, second = os.stat(m.point / "one/workspace"), os.stat(m.point / "two/workspace")
    assert first.st_ino != second.st_ino


def test_names_by_default(yard, point):
    for name in ("a", "b", "c"):
        (yard.folder / name).mkdir()
    done = vsockfs(f"local:{yard.folder}/a", f"named=local:{yard.folder}/b",
                   f"local:{yard.folder}/c", point)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(point)) == ["ctl", "error", "guest", "guest2", "metrics", "named",
                                         "status", "version"]
    unmount_and_wait(point)


def test_one_bad_source_of_two_mounts_nothing(yard, point):
    (yard.folder / "a").mkdir()
    done = vsockfs(f"a=local:{yard.folder}/a", f"b=unix:{yard.folder}/none.sock", point)
    one_line(done, "none.sock")
    assert not is_mounted(point)
    wait_until(lambda: not daemons(point), "nothing stays running")


def test_as_fstab_calls_it(yard, point):
    """mount -t fuse.vsockfs SOURCE POINT -o OPTIONS: mount.fuse3 runs `vsockfs SOURCE POINT -o ...`."""
    (yard.folder / "a").mkdir()
    done = vsockfs(f"box=local:{yard.folder}/a", point, "-o",
                   "rw,nosuid,nodev,noatime,dev,suid,_netdev,x-systemd.automount,timeout=5")
    assert done.returncode == 0, done.stderr
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        line = next(line for line in table if f" {point} " in line)
    assert "fuse.vsockfs" in line and "nosuid" in line and "nodev" in line
    unmount_and_wait(point)


def test_mount_t_fuse_vsockfs(yard, point):
    """What mount(8) starts for the type fuse.vsockfs, as it starts it."""
    (yard.folder / "a").mkdir()
    (yard.folder / "bin").mkdir()
    (yard.folder / "bin/vsockfs").symlink_to(binary("vsockfs"))
    path = f"{yard.folder}/bin:/usr/sbin:/sbin:{os.environ['PATH']}"
    run("mount.fuse3", f"box=local:{yard.folder}/a", point, "-o", "rw,timeout=5",
        "-t", "fuse.vsockfs", env={**ENV, "PATH": path})
    assert "workspace" in os.listdir(point / "box")
    unmount_and_wait(point)


def test_read_only(yard):
    guest = yard.guest("local")
    (guest.workspace / "f").write_text("x")
    m = yard.mount(guest, ["ro"])
    assert text(m.w / "f") == "x"
    with pytest.raises(OSError):
        put(m.w / "f", "y")
    assert (guest.workspace / "f").read_text() == "x"


@pytest.mark.parametrize("option", ["sync_write", "attr_timeout=0", "attr_timeout=5", "timeout=3",
                                    "idmap=none", "idmap=user", "max_connections=4",
                                    "default_permissions", "agent=auto", "agent=never",
                                    "fsname=thing", "allow_root" if os.geteuid() == 0 else "rw"])
def test_options_are_taken(yard, option):
    m = yard.mount(yard.guest("local"), [option])
    put(m.w / "f", "x")
    os.truncate(m.w / "f", 0)
    put(m.w / "f", "written")
    assert (m.guest.workspace / "f").read_text() == "written" == text(m.w / "f")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_others_get_what_the_modes_allow(yard):
    def other(script):
        return subprocess.run(["bash", "-c", script], cwd="/", user="nobody", check=False,
                              capture_output=True, timeout=PATIENCE).returncode == 0

    m = yard.mount(yard.guest("local"), ["allow_other"])
    yard.folder.chmod(0o755)
    m.point.parent.chmod(0o755)
    for name, mode in (("open", 0o644), ("shut", 0o600)):
        put(m.w / name, "x")
        os.chmod(m.w / name, mode)
    assert other(f"cat {m.g}/status {m.w}/open")
    for script in (f"cat {m.w}/shut", f"cat {m.g}/error", f"echo sync > {m.g}/ctl",
                   f"mkdir {m.g}/exec/x", f"touch {m.w}/new", f"echo y > {m.w}/open"):
        assert not other(script), script
    assert sorted(os.listdir(m.w)) == ["open", "shut"]
    put(m.g / "ctl", "sync\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_mounts_for_another_user(yard):
    nobody = pwd.getpwnam("nobody")
    m = yard.mount(yard.guest("local"), ["allow_other", f"uid={nobody.pw_uid}",
                                         f"gid={nobody.pw_gid}"])
    yard.folder.chmod(0o755)
    m.point.parent.chmod(0o755)
    script = f"echo x > {m.w}/new && mkdir {m.g}/exec/x && echo 'run ls' > {m.g}/exec/x/ctl"
    for user, rightly in (("daemon", False), ("nobody", True)):
        done = subprocess.run(["bash", "-c", script], cwd="/", user=user, group=user if user == "daemon"
                              else nobody.pw_gid, extra_groups=[], check=False,
                              capture_output=True, timeout=PATIENCE)
        assert (done.returncode == 0) == rightly, done
    assert text(m.g / "exec/x/stdout") == "new\n"
    assert os.stat(m.w / "new").st_uid == nobody.pw_uid


@pytest.mark.parametrize("network", [False, True])
def test_local_net(yard, network):
    m = yard.mount(yard.guest("local"), ["local_net"] if network else [])
    path = m.g / "exec/x"
    os.mkdir(path)
    put(path / "ctl", "run cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' ' | sort\n")
    here = sorted(line.split(":")[0].strip() for line in
                  open("/proc/net/dev", encoding="ascii").read().splitlines()[2:])
    found = text(path / "stdout").split()
    assert found == (here if network else ["lo"])


def test_local_ends_with_the_mount(yard):
    m = yard.mount(yard.guest("local"))
    path = m.g / "exec/x"
    os.mkdir(path)
    put(path / "ctl", "start sleep 54321\n")
    canary = b"54321"

    def running():
        return [entry for entry in os.listdir("/proc") if entry.isdigit() and
                canary in cmdline(entry).split(b"\0")]
    wait_until(running, "the canary lives")
    m.process.child.kill()
    m.process.child.wait()
    wait_until(lambda: not running(), "the sandbox ends with the daemon, however that ended")
    subprocess.run(["fusermount3", "-u", m.point], check=True)
    m.process = None


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as source:
            return source.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_local_without_bubblewrap(yard, point):
    """One line says what is missing.  (bwrap hides itself here, under a file that does not run.)"""
    (yard.folder / "a").mkdir()
    (yard.folder / "nothing").touch(0o644)
    hidden = [word for path in ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
              if os.path.exists(path) and not os.path.islink(os.path.dirname(path))
              for word in ("--ro-bind", str(yard.folder / "nothing"), path)]
    done = subprocess.run(["bwrap", "--dev-bind", "/", "/", *hidden, "--", binary("vsockfs"),
                           f"local:{yard.folder}/a", str(point)], check=False,
                          capture_output=True, text=True, timeout=PATIENCE, env=ENV)
    one_line(done, "bubblewrap")


def test_install_puts_everything_in_the_usual_places(yard, point):
    prefix = yard.folder / "prefix"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    assert os.access(prefix / "bin/vsockfs", os.X_OK)
    agents = list(prefix.rglob("vsockfs-agent"))
    assert len(agents) == 1 and os.access(agents[0], os.X_OK)
    assert str(ROOT) not in run("readelf", "-d", prefix / "bin/vsockfs")
    (yard.folder / "a").mkdir()
    done = subprocess.run([prefix / "bin/vsockfs", f"local:{yard.folder}/a", point], check=False,
                          capture_output=True, text=True, timeout=PATIENCE, env=ENV)
    assert done.returncode == 0, done.stderr
    assert os.listdir(point / "guest/workspace") == []
    unmount_and_wait(point)


@pytest.mark.parametrize("words, said", [
    ("frob", "no verb 'frob'"), ("install frob", "'frob'; there are: build, run, test"),
    ("install build frob", "'frob'"), ("build frob", "'frob'; there are: release, gcc"),
    ("build gcc more", "build: what is 'more' for?"), ("test --fast", "test: what is '--fast' for?"),
    ("demo --keep more", "demo: what is 'more' for?"), ("clean all", "clean: what is 'all' for?"),
])
def test_dev_takes_no_word_that_it_does_not_know(words, said):
    done = subprocess.run([ROOT / "dev", *words.split()], check=False, capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == 1 and done.stdout == "", done
    assert done.stderr.startswith("dev: ") and said in done.stderr and done.stderr.count("\n") == 1
