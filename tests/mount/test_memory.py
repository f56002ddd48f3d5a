"""What the daemon may take of the host's memory, however large the files are."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SIZE = int(os.environ.get("VSOCKFS_MEMORY_MIB", "160"))  # MiB of each file
CEILING = 64  # MiB, of the whole daemon


def peak(m):
    """The daemon's largest resident set so far, in MiB."""
    status = Path(f"/proc/{m.process.child.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)[1]) / 1024


def is_sanitized(m):
    return "libasan" in Path(f"/proc/{m.process.child.pid}/maps").read_text(encoding="utf-8")


def copy(source, target):
    subprocess.run(["dd", f"if={source}", f"of={target}", "bs=1M", f"count={SIZE}",
                    "iflag=fullblock", "status=none"], check=True)


@pytest.fixture
def is_small(m, record_property):
    """Asserts it for what the daemon has done since the mount."""
    if is_sanitized(m):
        pytest.skip("a sanitizer's own memory is not the daemon's")

    def check():
        record_property("peak_mib", peak(m))
        assert peak(m) < CEILING, f"the daemon took {peak(m):.0f} MiB"
    return check


@pytest.mark.slow
@pytest.mark.limit(300)
def test_reading_a_large_file(m, is_small):
    with open(m.guest.workspace / "big", "wb") as big:
        big.truncate(SIZE << 20)
    copy(m.w / "big", "/dev/null")
    is_small()


@pytest.mark.slow
@pytest.mark.limit(300)
def test_reading_many_files_at_once(m, is_small):
    """Each reader has its own chunks; what they have together is limited."""
    names = [f"f{number}" for number in range(16)]
    for name in names:
        with open(m.guest.workspace / name, "wb") as file:
            file.truncate(SIZE // 16 << 20)
    readers = [subprocess.Popen(["cat", m.w / name], stdout=subprocess.DEVNULL) for name in names]
    assert [reader.wait() for reader in readers] == [0] * 16
    is_small()


@pytest.mark.slow
@pytest.mark.limit(300)
def test_writing_a_large_file(m, is_small):
    copy("/dev/zero", m.w / "big")
    assert (m.guest.workspace / "big").stat().st_size == SIZE << 20
    is_small()
