"""Random operations on the mount and on a plain directory: the same answers, the same trees.

VSOCKFS_MODEL_SEED and VSOCKFS_MODEL_STEPS choose another run; a failure prints its seed and
the operations before it.
"""

import os
import random
import stat

import pytest

pytestmark = [pytest.mark.core, pytest.mark.limit(240)]

NAMES = [b"a", b"b", b"c d", b"\xff\xfe", b"e\nf", b"-n"]
SEED = int(os.environ.get("VSOCKFS_MODEL_SEED", "20240607"))
RENAME_NOREPLACE = 1


class Side:
    """One of the two roots, with its open files by number."""

    def __init__(self, root):
        self.root, self.files = os.fsencode(root), {}

    def path(self, parts):
        return os.path.join(self.root, *parts)


def describe(info):
    kind = stat.S_IFMT(info.st_mode)
    size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
    links = 0 if stat.S_ISDIR(info.st_mode) else info.st_nlink
    return kind, stat.S_IMODE(info.st_mode), size, links


# Each operation: run on a side with the same arguments, it gives what is compared.

def op_write(side, path, data, flags):
    fd = os.open(side.path(path), os.O_WRONLY | os.O_CREAT | flags, 0o644)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def op_open(side, path, number, flags):
    if number in side.files:
        os.close(side.files.pop(number))
    side.files[number] = os.open(side.path(path), flags, 0o600)


def op_pwrite(side, number, data, offset):
    return os.pwrite(side.files[number], data, offset)


def op_pread(side, number, size, offset):
    return os.pread(side.files[number], size, offset)


def op_ftruncate(side, number, size):
    os.ftruncate(side.files[number], size)


def op_fstat(side, number):
    return describe(os.fstat(side.files[number]))


def op_close(side, number):
    os.close(side.files.pop(number))


def op_read(side, path):
    with open(side.path(path), "rb") as source:
        return source.read()


def op_list(side, path):
    return sorted(os.listdir(side.path(path)))


def op_stat(side, path):
    return describe(os.lstat(side.path(path)))


def op_mkdir(side, path, mode):
    os.mkdir(side.path(path), mode)


def op_rmdir(side, path):
    os.rmdir(side.path(path))


def op_unlink(side, path):
    os.unlink(side.path(path))


def op_rename(side, path, to):
    os.rename(side.path(path), side.path(to))


def op_link(side, path, to):
    os.link(side.path(path), side.path(to), follow_symlinks=False)


def op_symlink(side, path, target):
    os.symlink(target, side.path(path))


def op_readlink(side, path):
    return os.readlink(side.path(path))


def op_chmod(side, path, mode):
    os.chmod(side.path(path), mode)


def op_truncate(side, path, size):
    os.truncate(side.path(path), size)


def op_utime(side, path, when):
    os.utime(side.path(path), ns=(when, when), follow_symlinks=False)
    return os.lstat(side.path(path)).st_mtime_ns


def op_mkfifo(side, path):
    os.mkfifo(side.path(path), 0o640)


def choose(numbers, opened):
    """An operation and its arguments."""
    def path():
        return tuple(numbers.choice(NAMES) for _ in range(numbers.choice((1, 1, 1, 2, 2, 3))))

    def data():
        return numbers.randbytes(numbers.choice((0, 1, 100, 5000, 70000)))

    number = numbers.randrange(4)
    mode = numbers.choice((0o600, 0o644, 0o755, 0o700))
    kinds = [
        (6, lambda: (op_write, path(), data(), numbers.choice((0, os.O_TRUNC, os.O_APPEND)))),
        (4, lambda: (op_open, path(), number, numbers.choice(
            (os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_APPEND,
             os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR | os.O_TRUNC)))),
        (5, lambda: (op_read, path())), (3, lambda: (op_list, path()[:-1])),
        (4, lambda: (op_stat, path())), (5, lambda: (op_mkdir, path(), mode)),
        (2, lambda: (op_rmdir, path())), (4, lambda: (op_unlink, path())),
        (5, lambda: (op_rename, path(), path())), (2, lambda: (op_link, path(), path())),
        (2, lambda: (op_symlink, path(), b"/".join(path()))), (1, lambda: (op_readlink, path())),
        (2, lambda: (op_chmod, path(), mode)), (1, lambda: (op_mkfifo, path())),
        (2, lambda: (op_truncate, path(), numbers.choice((0, 10, 4096, 100000)))),
        (2, lambda: (op_utime, path(), numbers.randrange(10 ** 18))),
    ]
    if number in opened:
        kinds += [(6, lambda: (op_pwrite, number, data(), numbers.randrange(90000))),
                  (5, lambda: (op_pread, number, 50000, numbers.randrange(90000))),
                  (2, lambda: (op_ftruncate, number, numbers.randrange(90000))),
                  (2, lambda: (op_fstat, number)), (3, lambda: (op_close, number))]
    return numbers.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]()


def attempt(side, operation, arguments):
    try:
        return ("gives", operation(side, *arguments))
    except OSError as error:
        return ("fails", error.errno)


def is_fifo(side, parts):
    try:
        return stat.S_ISFIFO(os.stat(side.path(parts)).st_mode)
    except OSError:
        return False


def tree(root):
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(b".vsockfs-")]
        for name in folders + names:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            content = None
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as source:
                    content = source.read()
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            found[os.path.relpath(path, root)] = (*describe(info), content)
    return found


@pytest.mark.parametrize("round_", range(3))
def test_model(m, round_):
    steps = int(os.environ.get("VSOCKFS_MODEL_STEPS", "150" if m.guest.is_reference else "500"))
    numbers = random.Random(SEED + round_)
    plain = m.folder / "plain"
    plain.mkdir()
    sides = Side(m.w), Side(plain)
    history = []
    for _ in range(steps):
        operation, *arguments = choose(numbers, sides[1].files)
        # Opening a FIFO waits for its other end; a link may lead to one.
        if operation in (op_open, op_read, op_write) and is_fifo(sides[1], arguments[0]):
            continue
        history.append((operation.__name__, *(a if not isinstance(a, bytes) or len(a) < 40 else
                                              f"{len(a)} bytes" for a in arguments)))
        got, wanted = (attempt(side, operation, arguments) for side in sides)
        if got != wanted:
            short = [str(answer)[:300] for answer in (got, wanted)]
            raise AssertionError(f"seed {SEED + round_}, step {len(history)}: the mount "
                                 f"{short[0]}, a plain directory {short[1]}; after\n" +
                                 "\n".join(map(str, history[-25:])))
    for side in sides:
        for fd in side.files.values():
            os.close(fd)
    there = tree(os.fsencode(m.guest.workspace))
    assert tree(os.fsencode(m.w)) == tree(os.fsencode(plain)), f"seed {SEED + round_}"
    assert there == tree(os.fsencode(plain)), f"seed {SEED + round_}"
