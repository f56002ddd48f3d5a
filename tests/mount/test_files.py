"""The workspace as files: every operation, its errno, and what the guest then has.

m.w is the workspace through the mount, m.guest.workspace the same directory in the guest.
"""

import ctypes
import errno
import mmap
import os
import random
import socket
import stat
import subprocess
import threading

import pytest
from harness import fails, get, keyed, put, sh, text, wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
NS = 1234567890_123456789


def renameat2(old, new, flags):
    if LIBC.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def guest_path(m, *parts):
    return m.guest.workspace.joinpath(*parts)


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# Reading


@pytest.mark.every
def test_shows_what_the_guest_has(m):
    guest_path(m, "d/e").mkdir(parents=True)
    guest_path(m, "note.txt").write_text("hello\n")
    guest_path(m, "d/e/f").write_bytes(b"\0\1\2")
    assert wait_until(lambda: sorted(os.listdir(m.w)) == ["d", "note.txt"], "the listing")
    assert text(m.w / "note.txt") == "hello\n"
    assert get(m.w / "d/e/f") == b"\0\1\2"
    with fails(errno.ENOENT):
        os.stat(m.w / "none")
    with fails(errno.ENOENT):
        os.open(m.w / "none/deeper", os.O_RDONLY)
    with fails(errno.ENOTDIR):
        os.stat(m.w / "note.txt/x")
    with fails(errno.ENOTDIR):
        os.listdir(m.w / "note.txt")


@pytest.mark.core
def test_attributes_are_the_guests(m):
    path = guest_path(m, "f")
    path.write_bytes(b"x" * 5000)
    path.chmod(0o751)
    os.utime(path, ns=(NS - 1, NS))
    os.link(path, guest_path(m, "hard"))
    guest_path(m, "d").mkdir(mode=0o700)
    there, here = path.stat(), os.stat(m.w / "f")
    for field in ("st_mode", "st_size", "st_nlink", "st_mtime_ns", "st_atime_ns", "st_blocks"):
        assert getattr(here, field) == getattr(there, field), field
    assert here.st_ino == os.stat(m.w / "hard").st_ino
    assert here.st_ino != os.stat(m.w / "d").st_ino
    assert (here.st_uid, here.st_gid) == (os.getuid(), os.getgid())
    assert mode_of(m.w / "d") == 0o700


def test_setuid_and_setgid_are_not_shown(m):
    guest_path(m, "s").touch()
    os.chmod(guest_path(m, "s"), 0o6755)
    assert mode_of(m.w / "s") == 0o755
    mounted = next(line for line in open("/proc/self/mountinfo", encoding="utf-8")
                   if f" {m.point} " in line)
    options = mounted.split(" ")[5].split(",")
    assert "nosuid" in options and "nodev" in options


@pytest.mark.core
def test_names_of_any_bytes(m):
    every = bytes(c for c in range(1, 256) if c != ord("/"))
    names = [every[:100], every[100:], b" both ends ", b"-n", b"--", b"*", b"\\n", b"a\nb", b"$(id)",
             b"'", b'"', b"`id`", b"\xff\xfe", "ünïcode-日本".encode(), b"n" * 255, b"\t",
             b"...", b" ", b"tail\n", b"\n"]
    w = os.fsencode(m.w)
    for name in names:
        put(os.path.join(w, name), b"<" + name + b">")
    guest = os.fsencode(m.guest.workspace)
    assert m.guest.names() == sorted(map(os.fsdecode, names))
    assert sorted(os.listdir(w)) == sorted(names)
    for name in names:
        assert get(os.path.join(guest, name)) == b"<" + name + b">"
        os.rename(os.path.join(w, name), os.path.join(w, b"moving"))
        os.mkdir(os.path.join(w, name))
        os.rename(os.path.join(w, b"moving"), os.path.join(w, name, name))
    for name in names:
        assert get(os.path.join(guest, name, name)) == b"<" + name + b">"
        os.unlink(os.path.join(w, name, name))
        os.rmdir(os.path.join(w, name))
    assert m.guest.names() == []
    with fails(errno.ENAMETOOLONG):
        put(os.path.join(w, b"n" * 256), b"")


def test_names_made_in_the_guest(m):
    guest = os.fsencode(m.guest.workspace)
    for name in (b"\xff", b"a\nb", b" x "):
        put(os.path.join(guest, name), name)
    w = os.fsencode(m.w)
    assert sorted(os.listdir(w)) == sorted([b"\xff", b"a\nb", b" x "])
    for name in os.listdir(w):
        assert get(os.path.join(w, name)) == name


def test_large_directories(m):
    for number in range(3000):
        guest_path(m, f"{number:04}").touch()
    seen = [entry.name for entry in os.scandir(m.w) if entry.is_file(follow_symlinks=False)]
    assert sorted(seen) == [f"{number:04}" for number in range(3000)]
    assert len(seen) == len(set(seen))


def test_deep_paths(m):
    path = m.w
    for _ in range(40):
        path = path / ("d" * 40)
        os.mkdir(path)
    put(path / "f", "deep")
    assert guest_path(m, *["d" * 40] * 40, "f").read_text() == "deep"


# Writing


@pytest.mark.every
def test_write_and_read_back(m):
    put(m.w / "f", "hello\n")
    assert guest_path(m, "f").read_text() == "hello\n"
    assert text(m.w / "f") == "hello\n"
    put(m.w / "f", b"")
    assert guest_path(m, "f").read_bytes() == b""
    everything = bytes(range(256)) * 64
    put(m.w / "f", everything)
    assert guest_path(m, "f").read_bytes() == everything
    assert get(m.w / "f") == everything


@pytest.mark.core
@pytest.mark.limit(180)
def test_large_file(m):
    data = random.Random(1).randbytes(20 << 20)
    put(m.w / "big", data)
    assert guest_path(m, "big").read_bytes() == data
    guest_path(m, "big2").write_bytes(data[::-1])
    assert get(m.w / "big2") == data[::-1]


@pytest.mark.core
def test_create_modes_follow_the_umask(m):
    old = os.umask(0o027)
    try:
        os.close(os.open(m.w / "f", os.O_CREAT | os.O_WRONLY, 0o777))
        os.mkdir(m.w / "d", 0o777)
        os.mkfifo(m.w / "p", 0o666)
        os.close(os.open(m.w / "ro", os.O_CREAT | os.O_RDWR, 0o400))
    finally:
        os.umask(old)
    for name, mode in (("f", 0o750), ("d", 0o750), ("p", 0o640), ("ro", 0o400)):
        assert (mode_of(guest_path(m, name)), mode_of(m.w / name)) == (mode, mode), name


def test_create_read_only_and_write(m):
    fd = os.open(m.w / "f", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
    os.write(fd, b"written")
    os.close(fd)
    assert guest_path(m, "f").read_text() == "written"


@pytest.mark.core
def test_write_is_in_place(m):
    path = guest_path(m, "f")
    path.write_text("a longer text")
    path.chmod(0o640)
    before = path.stat().st_ino
    put(m.w / "f", "short")
    assert path.read_text() == "short"
    assert (path.stat().st_ino, mode_of(path)) == (before, 0o640)
    with open(m.w / "f", "r+b") as out:
        out.seek(2)
        out.write(b"XY")
    assert path.read_text() == "shXYt"
    assert path.stat().st_ino == before


@pytest.mark.core
def test_append_is_the_guests_append(m):
    path = guest_path(m, "log")
    path.write_text("one\n")
    fd = os.open(m.w / "log", os.O_WRONLY | os.O_APPEND)
    with open(path, "a", encoding="ascii") as other:
        other.write("two\n")
    os.write(fd, b"three\n")
    os.fsync(fd)
    assert path.read_text() == "one\ntwo\nthree\n"
    with open(path, "a", encoding="ascii") as other:
        other.write("four\n")
    os.write(fd, b"five\n")
    os.close(fd)
    assert path.read_text() == "one\ntwo\nthree\nfour\nfive\n"
    sh("echo six >> log", m.w)
    assert path.read_text().endswith("five\nsix\n")


def test_writes_anywhere(m):
    """Overlapping, backwards, beyond the end: what is read is what a local file would have."""
    numbers, model = random.Random(2), bytearray()
    fd = os.open(m.w / "f", os.O_RDWR | os.O_CREAT)
    for _ in range(200):
        offset, data = numbers.randrange(200000), numbers.randbytes(numbers.randrange(1, 9000))
        assert os.pwrite(fd, data, offset) == len(data)
        model.extend(bytes(max(0, offset + len(data) - len(model))))
        model[offset:offset + len(data)] = data
        if numbers.random() < 0.1:
            offset = numbers.randrange(len(model))
            assert os.pread(fd, 5000, offset) == model[offset:offset + 5000]
    assert os.fstat(fd).st_size == len(model)
    os.close(fd)
    assert guest_path(m, "f").read_bytes() == model
    assert get(m.w / "f") == model


def test_sparse(m):
    fd = os.open(m.w / "f", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"end", 10 << 20)
    os.close(fd)
    assert guest_path(m, "f").stat().st_size == (10 << 20) + 3
    assert os.stat(m.w / "f").st_size == (10 << 20) + 3
    assert get(m.w / "f").strip(b"\0") == b"end"


@pytest.mark.core
def test_truncate(m):
    path = guest_path(m, "f")
    path.write_bytes(b"0123456789")
    os.truncate(m.w / "f", 4)
    assert path.read_bytes() == b"0123"
    os.truncate(m.w / "f", 8)
    assert path.read_bytes() == b"0123\0\0\0\0"
    fd = os.open(m.w / "f", os.O_RDWR)
    os.write(fd, b"abcdef")
    os.ftruncate(fd, 3)
    assert os.fstat(fd).st_size == 3
    os.pwrite(fd, b"Z", 5)
    assert os.pread(fd, 100, 0) == b"abc\0\0Z"
    os.close(fd)
    assert path.read_bytes() == b"abc\0\0Z"
    with fails(errno.EISDIR):
        os.truncate(m.w, 0)


@pytest.mark.core
def test_fsync_reaches_the_guest_before_close(m):
    fd = os.open(m.w / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"so far")
    os.fsync(fd)
    assert guest_path(m, "f").read_text() == "so far"
    os.write(fd, b" and more")
    os.fdatasync(fd)
    assert guest_path(m, "f").read_text() == "so far and more"
    os.close(fd)


def test_every_close_of_a_shared_descriptor_flushes(m):
    fd = os.open(m.w / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"x")
    os.close(os.dup(fd))
    assert guest_path(m, "f").read_text() == "x"
    os.close(fd)


def test_two_handles_see_each_others_writes(m):
    put(m.w / "f", "start")
    one = os.open(m.w / "f", os.O_RDWR)
    two = os.open(m.w / "f", os.O_RDONLY)
    assert os.pread(two, 100, 0) == b"start"
    os.pwrite(one, b"STARTING", 0)
    assert os.pread(two, 100, 0) == b"STARTING"
    assert os.stat(m.w / "f").st_size == 8
    os.close(one)
    os.close(two)


@pytest.mark.core
def test_mtime_does_not_move_after_close(m):
    put(m.w / "f", "x")
    there = guest_path(m, "f").stat().st_mtime_ns
    first = os.stat(m.w / "f").st_mtime_ns
    assert first == there
    os.sync()
    text(m.w / "f")
    assert os.stat(m.w / "f").st_mtime_ns == first == guest_path(m, "f").stat().st_mtime_ns


# Times, modes, owners


@pytest.mark.core
@pytest.mark.parametrize("when", [NS, 1, 999_999_999, 4102444800_000000001, -1_500_000_000],
                         ids=["now", "1ns", "last-ns", "2100", "before-1970"])
def test_times_to_the_nanosecond(m, when):
    put(m.w / "f", "x")
    os.mkdir(m.w / "d")
    os.symlink("f", m.w / "l")
    for name in ("f", "d", "l"):
        os.utime(m.w / name, ns=(when + 5, when), follow_symlinks=False)
    for name in ("f", "d", "l"):
        for side in (guest_path(m, name), m.w / name):
            info = os.lstat(side)
            assert (info.st_atime_ns, info.st_mtime_ns) == (when + 5, when), side


def test_utime_of_an_open_file_with_unsent_writes(m):
    fd = os.open(m.w / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"data")
    os.utime(fd, ns=(NS, NS))
    os.close(fd)
    assert guest_path(m, "f").stat().st_mtime_ns == NS
    assert guest_path(m, "f").read_text() == "data"


def test_touch_now(m):
    put(m.w / "f", "x")
    os.utime(m.w / "f", ns=(NS, NS))
    os.utime(m.w / "f")
    assert os.stat(m.w / "f").st_mtime_ns > NS
    assert guest_path(m, "f").stat().st_mtime_ns == os.stat(m.w / "f").st_mtime_ns


@pytest.mark.core
def test_chmod(m):
    put(m.w / "f", "x")
    os.mkdir(m.w / "d")
    for mode in (0o000, 0o400, 0o644, 0o755, 0o777):
        os.chmod(m.w / "f", mode)
        assert (mode_of(guest_path(m, "f")), mode_of(m.w / "f")) == (mode, mode)
    os.chmod(m.w / "d", 0o1777)
    assert mode_of(guest_path(m, "d")) == 0o1777
    fd = os.open(m.w / "f", os.O_RDWR)
    os.write(fd, b"unsent")
    os.fchmod(fd, 0o600)
    os.close(fd)
    assert mode_of(guest_path(m, "f")) == 0o600
    assert guest_path(m, "f").read_text() == "unsent"


def test_chown_to_oneself(m):
    put(m.w / "f", "x")
    os.chown(m.w / "f", os.getuid(), os.getgid())
    os.chown(m.w / "f", -1, -1)
    assert os.stat(m.w / "f").st_uid == os.getuid()


# Directories and names


@pytest.mark.every
def test_make_and_remove(m):
    os.mkdir(m.w / "d")
    assert guest_path(m, "d").is_dir()
    with fails(errno.EEXIST):
        os.mkdir(m.w / "d")
    put(m.w / "d/f", "x")
    with fails(errno.ENOTEMPTY):
        os.rmdir(m.w / "d")
    with fails(errno.EISDIR):
        os.unlink(m.w / "d")
    with fails(errno.ENOTDIR):
        os.rmdir(m.w / "d/f")
    os.unlink(m.w / "d/f")
    with fails(errno.ENOENT):
        os.unlink(m.w / "d/f")
    with fails(errno.ENOENT):
        os.mkdir(m.w / "none/d")
    os.rmdir(m.w / "d")
    assert m.guest.names() == [] == os.listdir(m.w)


@pytest.mark.core
def test_open_flags(m):
    put(m.w / "f", "x")
    with fails(errno.EEXIST):
        os.open(m.w / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with fails(errno.EISDIR):
        os.open(m.w, os.O_WRONLY)
    with fails(errno.ENOTDIR):
        os.open(m.w / "f", os.O_DIRECTORY)
    os.symlink("f", m.w / "l")
    with fails(errno.ELOOP):
        os.open(m.w / "l", os.O_RDONLY | os.O_NOFOLLOW)
    with fails(errno.EEXIST):
        os.open(m.w / "l", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fd = os.open(m.w / "f", os.O_RDONLY)
    with fails(errno.EBADF):
        os.write(fd, b"x")
    os.close(fd)


@pytest.mark.core
def test_rename(m):
    put(m.w / "a", "a")
    before = guest_path(m, "a").stat().st_ino
    os.rename(m.w / "a", m.w / "b")
    assert guest_path(m, "b").stat().st_ino == before and not guest_path(m, "a").exists()
    put(m.w / "c", "c")
    os.rename(m.w / "c", m.w / "b")
    assert guest_path(m, "b").read_text() == "c" == text(m.w / "b")
    os.makedirs(m.w / "d/e")
    put(m.w / "d/e/f", "f")
    os.rename(m.w / "d", m.w / "D")
    assert text(m.w / "D/e/f") == "f"
    with fails(errno.ENOENT):
        os.stat(m.w / "d/e")
    os.rename(m.w / "b", m.w / "D/e/b")
    assert sorted(os.listdir(m.w / "D/e")) == ["b", "f"]
    with fails(errno.ENOENT):
        os.rename(m.w / "none", m.w / "x")
    with fails(errno.EINVAL):
        os.rename(m.w / "D", m.w / "D/e/D")
    put(m.w / "file", "")
    with fails(errno.ENOTDIR):
        os.rename(m.w / "D", m.w / "file")
    with fails(errno.EISDIR):
        os.rename(m.w / "file", m.w / "D")
    os.mkdir(m.w / "other")
    with fails(errno.ENOTEMPTY):
        os.rename(m.w / "other", m.w / "D")


@pytest.mark.core
def test_rename_noreplace(m):
    put(m.w / "a", "a")
    put(m.w / "b", "b")
    with fails(errno.EEXIST):
        renameat2(m.w / "a", m.w / "b", RENAME_NOREPLACE)
    assert guest_path(m, "b").read_text() == "b"
    renameat2(m.w / "a", m.w / "c", RENAME_NOREPLACE)
    assert m.guest.names() == ["b", "c"]


def test_rename_exchange_where_the_guest_can(m):
    put(m.w / "a", "a")
    os.mkdir(m.w / "b")
    put(m.w / "b/in", "b")
    try:
        renameat2(m.w / "a", m.w / "b", RENAME_EXCHANGE)
    except OSError as error:
        assert error.errno == errno.EINVAL
        assert guest_path(m, "a").read_text() == "a" and guest_path(m, "b/in").exists()
    else:
        assert guest_path(m, "b").read_text() == "a" == text(m.w / "b")
        assert text(m.w / "a/in") == "b"


@pytest.mark.core
def test_unlinked_while_open(m):
    put(m.w / "f", "still here")
    fd = os.open(m.w / "f", os.O_RDWR)
    os.unlink(m.w / "f")
    assert os.listdir(m.w) == []
    assert m.guest.names() == []
    assert os.pread(fd, 100, 0) == b"still here"
    os.pwrite(fd, b"STILL", 0)
    os.pwrite(fd, b"!", 10)
    os.fsync(fd)
    assert os.pread(fd, 100, 0) == b"STILL here!"
    assert os.fstat(fd).st_size == 11
    assert os.fstat(fd).st_nlink == 0
    put(m.w / "f", "another")
    assert os.pread(fd, 100, 0) == b"STILL here!"
    os.ftruncate(fd, 5)
    os.close(fd)
    assert text(m.w / "f") == "another"
    assert os.listdir(m.w) == ["f"]
    assert m.guest.names() == ["f"]
    wait_until(lambda: not m.guest.working_files(), "nothing is left in the guest")


def test_created_and_unlinked_at_once(m):
    """What tmpfile(3) does."""
    fd = os.open(m.w / "t", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(m.w / "t")
    os.write(fd, b"scratch" * 10000)
    assert os.pread(fd, 7, 7 * 9999) == b"scratch"
    os.close(fd)
    assert m.guest.names() == []
    wait_until(lambda: not m.guest.working_files(), "nothing is left in the guest")


@pytest.mark.core
def test_renamed_while_open(m):
    put(m.w / "a", "first")
    fd = os.open(m.w / "a", os.O_RDWR)
    os.pwrite(fd, b"FIRST", 0)
    os.rename(m.w / "a", m.w / "b")
    os.pwrite(fd, b"!", 5)
    assert os.fstat(fd).st_size == 6
    os.close(fd)
    assert guest_path(m, "b").read_text() == "FIRST!"
    assert m.guest.names() == ["b"]


def test_directory_renamed_with_open_files(m):
    os.makedirs(m.w / "d/e")
    fd = os.open(m.w / "d/e/f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"one ")
    os.rename(m.w / "d", m.w / "x")
    os.write(fd, b"two")
    os.close(fd)
    assert guest_path(m, "x/e/f").read_text() == "one two"
    assert m.guest.names() == ["x"]


@pytest.mark.core
def test_renamed_over_while_open(m):
    put(m.w / "target", "old contents")
    put(m.w / "new", "new")
    fd = os.open(m.w / "target", os.O_RDONLY)
    os.rename(m.w / "new", m.w / "target")
    assert os.pread(fd, 100, 0) == b"old contents"
    assert text(m.w / "target") == "new"
    os.close(fd)
    assert m.guest.names() == ["target"]
    wait_until(lambda: not m.guest.working_files(), "nothing is left")


@pytest.mark.core
def test_hard_links(m):
    put(m.w / "a", "one")
    os.link(m.w / "a", m.w / "b")
    assert guest_path(m, "a").stat().st_ino == guest_path(m, "b").stat().st_ino
    a, b = os.stat(m.w / "a"), os.stat(m.w / "b")
    assert (a.st_ino, a.st_nlink) == (b.st_ino, 2)
    put(m.w / "a", "changed")
    assert text(m.w / "b") == "changed"
    with fails(errno.EEXIST):
        os.link(m.w / "a", m.w / "b")
    with fails(errno.ENOENT):
        os.link(m.w / "none", m.w / "c")
    os.unlink(m.w / "a")
    assert os.stat(m.w / "b").st_nlink == 1
    assert text(m.w / "b") == "changed"
    os.mkdir(m.w / "d")
    with fails(errno.EPERM):
        os.link(m.w / "d", m.w / "e")


@pytest.mark.core
def test_special_files(m):
    os.mkfifo(m.w / "p")
    assert stat.S_ISFIFO(guest_path(m, "p").lstat().st_mode)
    assert stat.S_ISFIFO(os.lstat(m.w / "p").st_mode)
    os.mkfifo(guest_path(m, "q"))
    wait_until(lambda: "q" in os.listdir(m.w), "a FIFO of the guest's shows")
    with fails(errno.EPERM):
        os.mknod(m.w / "c", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    put(m.w / "beside", "a FIFO spoils nothing")
    assert sorted(os.listdir(m.w)) == ["beside", "p", "q"]
    assert text(m.w / "beside").startswith("a FIFO")


@pytest.mark.core
def test_a_socket_works_between_two_programs_here(m):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        os.mkdir(m.w / "d")
        os.chdir(m.w / "d")  # a path that fits into sun_path
        try:
            if keyed(m.g / "status")["dialect"] == "line":
                with fails(errno.EPERM):
                    server.bind("s")
                return
            server.bind("s")
            server.listen()
            client.connect("s")
        finally:
            os.chdir("/")
        ours = server.accept()[0]
        with ours:
            client.sendall(b"hello")
            assert ours.recv(5) == b"hello"
        assert stat.S_ISSOCK(os.lstat(guest_path(m, "d/s")).st_mode)
        os.unlink(m.w / "d/s")
        assert os.listdir(guest_path(m, "d")) == []


def test_a_fifo_works_between_two_programs_here(m):
    sh("mkfifo p; (echo through the pipe > p) & cat p > out; wait", m.w)
    assert text(m.w / "out") == "through the pipe\n"


# Symbolic links


@pytest.mark.core
def test_symlinks_inside(m):
    os.makedirs(m.w / "a/b")
    put(m.w / "a/f", "inside")
    for target, name in (("a/f", "l"), ("../f", "a/b/up"), ("../../a/f", "a/b/round"),
                         ("a", "dir"), ("nowhere", "dangling"), ("./a/./f", "dots"),
                         ("x" * 255 + "/" + "y" * 255, "long")):
        os.symlink(target, m.w / name)
        assert os.readlink(guest_path(m, name)) == target
        assert os.readlink(m.w / name) == target
    for name in ("l", "a/b/up", "a/b/round", "dir/f", "dots"):
        assert text(m.w / name) == "inside"
    with fails(errno.ENOENT):
        os.stat(m.w / "dangling")
    with fails(errno.EEXIST):
        os.symlink("x", m.w / "l")
    info = os.lstat(m.w / "l")
    assert stat.S_ISLNK(info.st_mode) and info.st_size == 3


@pytest.mark.core
def test_absolute_targets_in_the_workspace_are_shown_relative(m):
    guest_path(m, "a/b").mkdir(parents=True)
    guest_path(m, "f").write_text("found")
    os.symlink("/workspace/f", guest_path(m, "l"))
    os.symlink("/workspace/f", guest_path(m, "a/b/l"))
    os.symlink("/workspace", guest_path(m, "a/top"))
    os.symlink("/workspace/a", guest_path(m, "dir"))
    assert os.readlink(m.w / "l") == "f"
    assert os.readlink(m.w / "a/b/l") == "../../f"
    for name in ("l", "a/b/l", "a/top/f", "dir/b/l"):
        assert text(m.w / name) == "found", name
    os.symlink("/workspace/f", m.w / "made-here")
    assert os.readlink(guest_path(m, "made-here")) == "/workspace/f"
    assert text(m.w / "made-here") == "found"


@pytest.mark.backends("reference")
@pytest.mark.options("attr_timeout=60")
def test_a_directory_that_becomes_a_link_behind_the_kernels_back(m):
    """The kernel believes for a minute that it is a directory, and asks for names in it."""
    os.makedirs(m.w / "d")
    put(m.w / "d/f", "mine")
    assert os.stat(m.w / "d").st_mtime > 0
    guest_path(m, "d").rename(guest_path(m, "e"))
    guest_path(m, "d").symlink_to("/etc")
    with fails(errno.EACCES):
        get(m.w / "d/passwd")
    with fails(errno.EACCES):
        os.mkdir(m.w / "d/made")
    guest_path(m, "d").unlink()
    guest_path(m, "d").symlink_to("e")
    wait_until(lambda: os.path.exists(m.w / "d/f"), "the new link is seen")
    assert text(m.w / "d/f") == "mine"


HOSTILE = ["/etc/passwd", "/", "..", "../..", "../../etc/passwd", "a/../../x", "/workspace/..",
           "/workspace/../etc/passwd", "/workspaces/x", "/workspacex", "//etc/passwd", "a/../..",
           "./../x", "/proc/self/root", "/workspace/a/../../etc"]


@pytest.mark.core
def test_symlinks_that_lead_out_cannot_be_followed(m):
    guest_path(m, "a").mkdir()
    for number, target in enumerate(HOSTILE):
        os.symlink(target, guest_path(m, f"h{number}"))
    for number, target in enumerate(HOSTILE):
        path = m.w / f"h{number}"
        assert stat.S_ISLNK(os.lstat(path).st_mode), target
        with fails(errno.EACCES):
            os.readlink(path)
        with fails(errno.EACCES):
            os.stat(path)
        with fails(errno.EACCES):
            os.open(path / "x", os.O_RDONLY)
        with fails(errno.EACCES):
            os.open(path, os.O_WRONLY | os.O_CREAT)
        os.unlink(path)
    assert m.guest.names() == ["a"]


@pytest.mark.core
def test_links_through_links_do_not_lead_out(m):
    """By its text each link stays inside; followed one through the other they would climb out."""
    guest_path(m, "a/b/c").mkdir(parents=True)
    (m.folder / "secret").write_text("of the host")
    os.symlink("../../..", guest_path(m, "a/b/c/top"))  # the workspace itself: fine
    assert "a" in os.listdir(m.w / "a/b/c/top")
    for name, target in (("control", "a/b/c/top/../ctl"),
                         ("guests", "a/b/c/top/../../box"),
                         ("host", "a/b/c/top/../../../secret")):
        os.symlink(target, guest_path(m, name))
        with fails(errno.EACCES):
            os.stat(m.w / name)
    # Without a link on the way the same shape is honest.
    guest_path(m, "f").write_text("inside")
    os.symlink("a/b/../../f", guest_path(m, "honest"))
    assert os.stat(m.w / "honest").st_size == 6


@pytest.mark.options("symlinks=raw")
def test_symlinks_raw(m):
    for target in ("/workspace/f", "/etc/hostname", "../up"):
        os.symlink(target, guest_path(m, "l"))
        wait_until(lambda: os.path.lexists(m.w / "l") and os.readlink(m.w / "l") == target,
                   f"{target} shows as it is")
        os.unlink(m.w / "l")


# The rest


@pytest.mark.core
def test_statfs(m):
    there, here = os.statvfs(m.guest.workspace), os.statvfs(m.w)
    assert here.f_blocks * here.f_frsize == there.f_blocks * there.f_frsize
    assert 0 < here.f_bavail <= here.f_bfree <= here.f_blocks
    assert here.f_namemax == 255
    assert os.statvfs(m.point).f_bsize > 0


def test_mmap(m):
    put(m.w / "f", b"A" * 10000)
    with open(m.w / "f", "r+b") as file:
        with mmap.mmap(file.fileno(), 0) as shared:
            assert shared[9999:] == b"A"
            shared[5000:5005] = b"BCDEF"
            shared.flush()
            assert guest_path(m, "f").read_bytes()[4999:5006] == b"ABCDEFA"
            shared[0:1] = b"Z"
        os.fsync(file.fileno())
    assert guest_path(m, "f").read_bytes()[:2] == b"ZA"
    with open(m.w / "f", "rb") as file, \
         mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as private:
        private[0:1] = b"Q"
    assert get(m.w / "f")[:1] == b"Z"


def test_a_program_in_the_mount_runs(m):
    put(m.w / "tool", "#!/bin/sh\necho ran $1\n")
    os.chmod(m.w / "tool", 0o755)
    assert sh("./tool well", m.w) == "ran well\n"
    sh("cp /bin/true ./true && ./true", m.w)


def test_the_guests_changes_show_within_a_second(m):
    path = guest_path(m, "f")
    path.write_text("one")
    assert text(m.w / "f") == "one"
    path.write_text("second")
    wait_until(lambda: text(m.w / "f") == "second", "the new contents", 3)
    os.chmod(path, 0o600)
    wait_until(lambda: mode_of(m.w / "f") == 0o600, "the new mode", 3)
    path.unlink()
    wait_until(lambda: not os.path.exists(m.w / "f"), "the file is gone", 3)
    path.write_text("back")
    wait_until(lambda: os.path.exists(m.w / "f") and text(m.w / "f") == "back", "it is back", 3)


@pytest.mark.core
@pytest.mark.options("attr_timeout=60")
@pytest.mark.parametrize("look", [lambda m: os.stat(m.w / "f"), lambda m: sh("ls -l", m.w),
                                  lambda m: get(m.w / "f")], ids=["stat", "list", "read"])
def test_an_open_sees_the_guests_contents_whatever_is_believed(m, look):
    path = guest_path(m, "f")
    path.write_text("one")
    look(m)
    path.write_text("longer than before")
    with open(m.w / "f", "rb") as file:
        assert file.read() == b"longer than before"
        assert os.fstat(file.fileno()).st_size == 18
    assert os.stat(m.w / "f").st_size == 18
    path.write_text("short")
    assert get(m.w / "f") == b"short"
    assert os.stat(m.w / "f").st_size == 5


@pytest.mark.core
@pytest.mark.options("attr_timeout=60")
def test_a_file_that_the_guest_removed_can_be_made_anew(m):
    for name, flags in (("new", os.O_TRUNC), ("more", os.O_APPEND), ("own", os.O_EXCL)):
        path = guest_path(m, name)
        path.write_text("the guest's")
        os.stat(m.w / name)
        path.unlink()
        with fails(errno.ENOENT):
            os.open(m.w / name, os.O_WRONLY)
        fd = os.open(m.w / name, os.O_WRONLY | os.O_CREAT | flags)
        os.write(fd, b"made here")
        os.close(fd)
        assert path.read_text() == "made here"


def test_same_size_and_time_in_the_guest_still_shows(m):
    """A change that keeps size and mtime is seen by its ctime."""
    path = guest_path(m, "f")
    path.write_text("one")
    os.utime(path, ns=(NS, NS))
    assert text(m.w / "f") == "one"
    path.write_text("two")
    os.utime(path, ns=(NS, NS))
    wait_until(lambda: text(m.w / "f") == "two", "the new contents", 3)


def test_holes(m):
    """They read as zeros, lseek(2) does not know them, and the guest keeps those that are made here."""
    with open(m.w / "f", "wb") as file:
        file.seek(1 << 20)
        file.write(b"x")
    assert os.stat(m.guest.workspace / "f").st_blocks < 1 << 20 >> 9
    with open(m.w / "f", "rb") as file:
        assert os.lseek(file.fileno(), 5, os.SEEK_DATA) == 5
        assert os.lseek(file.fileno(), 5, os.SEEK_HOLE) == (1 << 20) + 1
        file.seek(0)
        assert file.read() == bytes(1 << 20) + b"x"


def test_inotify_tells_what_this_side_does(m):
    inotify = LIBC.inotify_init1(os.O_CLOEXEC)
    assert LIBC.inotify_add_watch(inotify, os.fsencode(m.w), 0x100) == 1  # IN_CREATE
    (m.guest.workspace / "there").touch()
    put(m.g / "ctl", "refresh\n")
    assert "there" in os.listdir(m.w)
    (m.w / "here").touch()
    told = os.read(inotify, 4096)
    os.close(inotify)
    assert b"here\0" in told and b"there" not in told


def test_refresh_shows_changes_at_once(m):
    assert os.listdir(m.w) == []
    guest_path(m, "f").write_text("x")
    put(m.g / "ctl", "refresh\n")
    assert os.listdir(m.w) == ["f"]
    guest_path(m, "f").write_text("longer")
    put(m.g / "ctl", "refresh f\n")
    assert os.stat(m.w / "f").st_size == 6


def test_working_names_are_never_shown_nor_made(m):
    guest_path(m, ".vsockfs-planted").mkdir()
    guest_path(m, "seen").touch()
    assert os.listdir(m.w) == ["seen"]
    with fails(errno.ENOENT):
        os.stat(m.w / ".vsockfs-planted")
    for attempt in (lambda: os.mkdir(m.w / ".vsockfs-mine"),
                    lambda: put(m.w / ".vsockfs-mine", "x"),
                    lambda: os.rename(m.w / "seen", m.w / ".vsockfs-mine")):
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno in (errno.EPERM, errno.EACCES, errno.EINVAL)
    os.mkdir(m.w / "sub")
    put(m.w / "sub/.vsockfs-fine", "only the root's are special")
    os.unlink(m.w / "sub/.vsockfs-fine")
    guest_path(m, ".vsockfs-planted").rmdir()


@pytest.fixture
def small_disk(yard):
    """The workspace of the guest `box`, on a file system of 2 MiB."""
    folder = yard.folder / "box/workspace"
    folder.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder],
                      capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yard.at_end(lambda: subprocess.run(["umount", "-l", folder], check=True))
    return folder


@pytest.mark.core
def test_a_full_disk_is_told(small_disk, m):
    """ENOSPC comes from write, fsync or close, and nothing else is harmed."""
    put(m.w / "small", "fits")
    with fails(errno.ENOSPC):
        put(m.w / "big", bytes(8 << 20))
    fd = os.open(m.w / "big2", os.O_WRONLY | os.O_CREAT)
    with fails(errno.ENOSPC):
        os.write(fd, bytes(8 << 20))
        os.fsync(fd)
    try:
        os.close(fd)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    os.unlink(m.w / "big")
    os.unlink(m.w / "big2")
    put(m.w / "again", "there is room again")
    assert (small_disk / "again").read_text() == "there is room again"
    assert text(m.w / "small") == "fits"


@pytest.mark.limit(240)
def test_many_threads(m):
    errors = []

    def work(number):
        try:
            folder = m.w / f"t{number}"
            os.mkdir(folder)
            for turn in range(10):
                put(folder / f"f{turn}", f"{number}.{turn}" * 1000)
                os.rename(folder / f"f{turn}", folder / f"g{turn}")
                assert text(folder / f"g{turn}") == f"{number}.{turn}" * 1000
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number in range(8):
        assert len(os.listdir(guest_path(m, f"t{number}"))) == 10
