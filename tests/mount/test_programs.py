"""The programs people use, in the mount, as they are; the guest's side is what counts."""

import os
import shutil
import sqlite3
import stat
import subprocess
import tarfile

import pytest
from harness import ENV, put, run, sh, text, wait_until

GIT = {**ENV, "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "A",
       "GIT_COMMITTER_EMAIL": "a@x", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
       "GIT_CONFIG_VALUE_0": "*"}


def git(where, *argv, **more):
    return run("git", *argv, cwd=where, env=GIT, **more)


def tree(root):
    """What a tree is: {relative name: (type and mode, size or target, mtime of files, bytes)}."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            key = os.path.relpath(path, root)
            if stat.S_ISLNK(info.st_mode):
                found[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(info.st_mode):
                found[key] = ("dir", info.st_mode)
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as source:
                    found[key] = ("file", info.st_mode, info.st_mtime_ns, source.read())
            else:
                found[key] = ("other", info.st_mode)
    return found


@pytest.fixture
def sample(yard):
    """A small tree with everything that a copy can get wrong."""
    root = yard.folder / "sample"
    (root / "src/deep/er").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o750)
    for number in range(12):
        path = root / "src" / f"file{number}.c"
        path.write_text(f"int f{number}(void) {{ return {number}; }}\n" * (number + 1))
        os.utime(path, ns=(0, 1_600_000_000_123456789 + number))
    (root / "src/deep/er/binary").write_bytes(bytes(range(256)) * 300)
    (root / "run.sh").write_text("#!/bin/sh\necho hello\n")
    (root / "run.sh").chmod(0o755)
    (root / "secret").write_text("x")
    (root / "secret").chmod(0o400)
    (root / "näme with späce").write_text("odd")
    (root / "link").symlink_to("src/deep")
    (root / "zero").touch()
    os.link(root / "run.sh", root / "run-hard")
    os.utime(root / "src", ns=(0, 1_500_000_000_000000001))
    return root


# Editors


@pytest.mark.core
def test_ex(m):
    put(m.w / "f", "one\ntwo\nthree\n")
    os.chmod(m.w / "f", 0o640)
    run("ex", "-s", "-c", "%s/two/TWO/", "-c", "wq", m.w / "f")
    assert (m.guest.workspace / "f").read_text() == "one\nTWO\nthree\n"
    assert stat.S_IMODE((m.guest.workspace / "f").stat().st_mode) == 0o640
    assert m.guest.names() == ["f"]  # no swap or backup file stays


def test_ex_with_backup_and_new_file(m):
    put(m.w / "f", "one\n")
    run("ex", "-s", "-c", "set backup backupcopy=no backupskip=", "-c", "s/one/1/", "-c", "wq", m.w / "f")
    assert m.guest.names() == ["f", "f~"]
    run("ex", "-s", "-c", "a|new line", "-c", "wq", m.w / "new")
    assert (m.guest.workspace / "new").read_text() == "new line\n"


@pytest.mark.core
def test_sed_in_place(m):
    put(m.w / "f", "a b\n" * 1000)
    sh("sed -i s/b/c/ f", m.w)
    assert (m.guest.workspace / "f").read_text() == "a c\n" * 1000
    assert m.guest.names() == ["f"]


# git


@pytest.fixture
def origin(yard, sample):
    where = yard.folder / "origin"
    shutil.copytree(sample, where, symlinks=True)
    git(where, "init", "-q", "-b", "main")
    git(where, "add", ".")
    git(where, "commit", "-q", "-m", "one")
    put(where / "src/file1.c", "changed\n")
    git(where, "commit", "-q", "-am", "two")
    return where


@pytest.mark.limit(400)
@pytest.mark.core
def test_git(m, origin):
    git(m.w, "clone", "-q", "--no-hardlinks", origin, "repo", timeout=360)
    repo = m.w / "repo"
    assert git(repo, "status", "--porcelain") == ""
    put(repo / "src/file2.c", "edited\n")
    put(repo / "new", "new\n")
    assert git(repo, "status", "--porcelain") == " M src/file2.c\n?? new\n"
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "three")
    git(repo, "checkout", "-q", "-b", "topic", "HEAD~1")
    assert not (repo / "new").exists()
    assert git(repo, "status", "--porcelain") == ""
    git(repo, "checkout", "-q", "main")
    assert text(repo / "new") == "new\n"
    git(repo, "fsck", "--strict")
    # The guest sees the same repository, whole.
    there = m.guest.workspace / "repo"
    git(there, "fsck", "--strict")
    assert git(there, "status", "--porcelain") == ""
    assert len(git(there, "log", "--format=%h").split()) == 3


@pytest.mark.limit(400)
def test_git_made_in_the_mount(m):
    git(m.w, "init", "-q", "--template=", "-b", "main", "r")
    for number in range(4):
        put(m.w / "r" / f"f{number}", str(number))
    git(m.w / "r", "add", ".")
    git(m.w / "r", "commit", "-q", "-m", "x")
    git(m.w / "r", "gc", "-q")
    git(m.w / "r", "mv", "f1", "moved")
    git(m.w / "r", "commit", "-q", "-m", "y")
    git(m.w / "r", "reset", "-q", "--hard", "HEAD~1")
    git(m.guest.workspace / "r", "fsck", "--strict")
    assert (m.guest.workspace / "r/f1").read_text() == "1"


# Copies and archives


@pytest.mark.core
def test_cp_a(m, sample):
    run("cp", "-a", sample, m.w / "copy")
    assert tree(m.guest.workspace / "copy") == tree(sample)
    there = m.guest.workspace / "copy"
    assert (there / "run.sh").stat().st_ino == (there / "run-hard").stat().st_ino
    run("cp", "-a", m.w / "copy", m.folder / "back")
    assert tree(m.folder / "back") == tree(sample)
    run("cp", "-a", m.w / "copy", m.w / "again")
    assert tree(m.guest.workspace / "again") == tree(sample)
    run("rm", "-r", m.w / "copy", m.w / "again")
    assert m.guest.names() == []


@pytest.mark.core
def test_rsync(m, sample):
    run("rsync", "-aH", f"{sample}/", m.w / "copy/")
    assert tree(m.guest.workspace / "copy") == tree(sample)
    # Times arrived exactly: a second run has nothing to do.
    assert run("rsync", "-aHi", f"{sample}/", m.w / "copy/") == ""
    (sample / "src/file3.c").write_text("other\n")
    (sample / "src/file4.c").unlink()
    run("rsync", "-aH", "--delete", f"{sample}/", m.w / "copy/")
    assert tree(m.guest.workspace / "copy") == tree(sample)
    run("rsync", "-aH", "--inplace", f"{m.w}/copy/", f"{m.folder}/back/")
    assert tree(m.folder / "back") == tree(sample)


@pytest.mark.core
def test_tar_both_ways(m, sample):
    run("tar", "-C", sample, "--format=pax", "-cf", m.folder / "in.tar", ".")
    os.mkdir(m.w / "out")
    run("tar", "-C", m.w / "out", "-xpf", m.folder / "in.tar")
    assert tree(m.guest.workspace / "out") == tree(sample)
    run("tar", "-C", m.w, "--format=pax", "-czf", m.w / "all.tgz", "out")
    with tarfile.open(m.guest.workspace / "all.tgz") as archive:
        assert {name for name in archive.getnames()} == \
            {"out", *(f"out/{name}" for name in tree(sample))}
    sh("mkdir again && tar -C again -xzpf all.tgz", m.w)
    assert tree(m.guest.workspace / "again/out") == tree(sample)


# Databases


@pytest.mark.core
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite(m, journal):
    path = m.w / "db.sqlite"
    script = f"""PRAGMA journal_mode={journal};
        CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
        BEGIN; INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n
        WHERE i < 500) SELECT 'value ' || i FROM n; COMMIT;
        UPDATE t SET v = upper(v) WHERE id % 7 = 0; DELETE FROM t WHERE id % 5 = 0;
        BEGIN; DELETE FROM t; ROLLBACK; SELECT count(*) FROM t;"""
    mode, count = run("sqlite3", path, script).split()
    assert count == "400"
    assert mode == journal
    assert run("sqlite3", path, "PRAGMA integrity_check; SELECT v FROM t WHERE id = 7;"
               ) == "ok\nVALUE 7\n"
    assert m.guest.names() == ["db.sqlite"]  # no journal stays behind
    with sqlite3.connect(m.guest.workspace / "db.sqlite") as there:
        assert there.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert there.execute("SELECT count(*) FROM t").fetchone() == (400,)


def test_sqlite_two_connections(m):
    path = str(m.w / "db.sqlite")
    one, two = sqlite3.connect(path, timeout=10), sqlite3.connect(path, timeout=10)
    one.execute("CREATE TABLE t(v)")
    for number in range(6):
        with one:
            one.execute("INSERT INTO t VALUES (?)", (number,))
        assert two.execute("SELECT count(*) FROM t").fetchone() == (number + 1,)
        with two:
            two.execute("UPDATE t SET v = v + 1")
    one.close()
    two.close()
    assert run("sqlite3", m.guest.workspace / "db.sqlite", "PRAGMA integrity_check") == "ok\n"


# Compilers and searches


PROJECT = {
    "Makefile": "CFLAGS = -O1 -Wall\nOBJECTS = main.o util.o\n\nprog: $(OBJECTS)\n"
                "\t$(CC) -o $@ $(OBJECTS)\n\nmain.o util.o: util.h\n\nclean:\n"
                "\trm -f prog *.o\n",
    "main.c": '#include <stdio.h>\n#include "util.h"\nint main(void)\n{\n'
              '\tprintf("%d\\n", twice(21));\n\treturn 0;\n}\n',
    "util.c": '#include "util.h"\nint twice(int x)\n{\n\treturn 2 * x;\n}\n',
    "util.h": "int twice(int x);\n",
}


@pytest.mark.core
@pytest.mark.limit(120)
def test_a_compiler_builds_in_the_mount(m):
    for name, source in PROJECT.items():
        put(m.w / name, source)
    sh("make -s CC=gcc && ./prog > out", m.w, timeout=100)
    assert text(m.w / "out") == "42\n"
    assert "up to date" in run("make", "CC=gcc", cwd=m.w)
    # Built here, run there.
    assert run(m.guest.workspace / "prog") == "42\n"
    put(m.w / "util.c", PROJECT["util.c"].replace("2 *", "3 *"))
    sh("make -s CC=gcc -j2 && ./prog > out", m.w, timeout=100)
    assert text(m.w / "out") == "63\n"
    sh("make -s clean", m.w)
    assert m.guest.names() == sorted([*PROJECT, "out"])


@pytest.mark.core
def test_searches(m, sample):
    shutil.copytree(sample, m.guest.workspace / "s", symlinks=True)
    wait_until(lambda: "s" in os.listdir(m.w), "the tree shows")
    assert sorted(run("grep", "-rl", "return 7", ".", cwd=m.w).split()) == ["./s/src/file7.c"]
    assert run("grep", "-rc", "return 11", "s/src/file11.c", cwd=m.w).strip() == "12"
    for query in (["-type", "d"], ["-name", "*.c", "-size", "+1"], ["-perm", "0400"],
                  ["-type", "l"], ["-newermt", "2020-01-01"], ["-links", "2", "-type", "f"]):
        assert sorted(run("find", ".", *query, cwd=m.w).splitlines()) == \
            sorted(run("find", ".", *query, cwd=m.guest.workspace).splitlines()), query
    assert run("du", "-s", "--apparent-size", "-b", "s", cwd=m.w) == \
        run("du", "-s", "--apparent-size", "-b", "s", cwd=m.guest.workspace)
    assert run("ls", "-lR", cwd=m.w).count("\n") > 25


def test_python_and_diff(m):
    put(m.w / "mod.py", "import json\nprint(json.dumps({'a': 1}))\n")
    assert run("/usr/bin/python3", "mod.py", cwd=m.w) == '{"a": 1}\n'
    run("/usr/bin/python3", "-m", "compileall", "-q", ".", cwd=m.w)
    assert (m.guest.workspace / "__pycache__").is_dir()
    sh("cp mod.py copy.py && diff -r . . && cmp mod.py copy.py", m.w)


def test_shell_redirections(m):
    sh("""echo one > f; echo two >> f; cat f f > g; tac g | sort -u -o f
          mv f h; (echo a; echo b) | tee t1 t2 > /dev/null; head -c 3 h > i
          dd if=/dev/zero of=z bs=4096 count=5 status=none; truncate -s 100 z; ln -s h l
          test "$(readlink l)" = h; rm g; install -m 600 h inst; mktemp -p . tmp.XXXX > /dev/null
       """, m.w)
    there = m.guest.workspace
    assert (there / "h").read_text() == "one\ntwo\n"
    assert (there / "t1").read_text() == (there / "t2").read_text() == "a\nb\n"
    assert (there / "z").stat().st_size == 100
    assert stat.S_IMODE((there / "inst").stat().st_mode) == 0o600


def test_file_locks(m):
    """flock(2) and fcntl locks work between programs here."""
    put(m.w / "lock", "")
    holder = subprocess.Popen(["flock", m.w / "lock", "sh", "-c", "echo held; read x"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    run("flock", "-n", m.w / "lock", "true", status=1)
    holder.communicate(b"\n")
    run("flock", "-n", m.w / "lock", "true")
