"""An agent that says hello and then misbehaves in one way (tests/peer/hostile_agent.py has them all), under a whole daemon.

Whatever it does: the caller gets an errno in time, what is wrong is to be read, nothing outside is touched, the daemon stays
small, and as soon as the agent is honest again the mount is as before.
"""

import contextlib
import errno
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import fails, get, keyed, put, text, wait_until
from hostile_agent import OUTPUT, WAYS, HostileAgent
from test_memory import CEILING, is_sanitized, peak

TIMEOUT = 1     # seconds, the mount's
IN_TIME = 10    # seconds within which any call is over, on a machine that is busy
GONE = (errno.ETIMEDOUT, errno.ENOTCONN)


@pytest.fixture
def ground(yard):
    """A workspace, and beside it what nobody may touch."""
    workspace, outside = yard.folder / "workspace", yard.folder / "outside"
    (workspace / "d").mkdir(parents=True)
    (workspace / "f").write_bytes(b"contents")
    (workspace / "l").symlink_to("f")
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")

    def seen():
        return os.listdir(outside), os.stat(outside).st_mtime_ns, os.stat(outside / "secret")

    before = seen()
    yield workspace
    assert seen() == before


@pytest.fixture
def hostile(yard, ground):
    """mount(SECONDS): a mount of an agent that is still honest."""
    def mount(timeout=TIMEOUT, limit=60):
        agent = HostileAgent(yard.folder / "hostile.sock", ground)
        agent.kind, agent.address = "hostile", f"unix:{yard.folder}/hostile.sock"
        yard.at_end(agent.stop)
        m = yard.mount(agent, [f"timeout={timeout}", "attr_timeout=0"], limit)
        m.agent = agent
        return m
    return mount


def is_well(m):
    with contextlib.suppress(OSError):
        return (sorted(os.listdir(m.w)), os.stat(m.w / "f").st_size, get(m.w / "f"), os.readlink(m.w / "l")) == \
            (["d", "f", "l"], 8, b"contents", "f")
    return False


def is_small(m):
    if is_sanitized(m):
        print("a sanitizer's own memory is not the daemon's: its size is not looked at")
    else:
        assert peak(m) < CEILING, f"the daemon took {peak(m):.0f} MiB"


# What is done while the agent misbehaves.

def list_it(m):
    return sorted(os.listdir(m.w))


def stat_it(m):
    return os.stat(m.w / "f")


def stat_root(m):
    return os.stat(m.w)


def size(m):
    return stat_it(m).st_size


def kind(m):
    return stat.S_IFMT(stat_it(m).st_mode)


def read_it(m):
    return get(m.w / "f")


def read_link(m):
    return os.readlink(m.w / "l")


def follow_link(m):
    return get(m.w / "l")


def write_it(m):
    handle = os.open(m.w / "f", os.O_WRONLY)
    try:
        os.write(handle, b"contents")
    finally:
        os.close(handle)


def make(m):
    os.mkdir(m.w / "new")


def free_blocks(m):
    return os.statvfs(m.w).f_bfree % 2**64  # Python takes it for a signed one


@contextlib.contextmanager
def job(m, folder):
    """One in the guest, gone afterwards; what its `error` says at the end goes to m.said."""
    os.mkdir(m.g / folder)
    try:
        yield m.g / folder
    finally:
        m.said = text(m.g / folder / "error")
        m.agent.be()
        os.rmdir(m.g / folder)


def run_it(m, result="exit_code"):
    with job(m, "exec/x") as command:
        put(command / "ctl", "run true\n")
        return text(command / result)


def run_with_input(m):
    with job(m, "exec/x") as command:
        put(command / "stdin", b"x" * (1 << 20))
        put(command / "ctl", "run true\n")


def read_output(m):
    return run_it(m, "stdout")


@contextlib.contextmanager
def open_shell(m):
    with job(m, "shells/x") as shell:
        put(shell / "ctl", "open\n")
        yield shell


def read_shell(m):
    """Blocks until there is output."""
    with open_shell(m) as shell:
        handle = os.open(shell / "cons", os.O_RDONLY)
        try:
            return os.read(handle, 4096)
        finally:
            os.close(handle)


def write_shell(m):
    with open_shell(m) as shell:
        put(shell / "cons", "hello\n")


def start_service(m):
    with job(m, "services/x") as service:
        put(service / "ctl", "start true\n")
        assert text(service / "status").replace("\n", "").isprintable()


BOUNDS = "is cut short or has a field out of its bounds"
ORDER = "the guest listed names out of order"
TYPE = "which is no type of file"
PROTOCOL = "the agent broke the protocol: "
SILENT = "the guest's agent has not answered for "
WORD = "the guest's reply is not valid: state must be a word of at most 15 letters"
COUNT = "the guest's reply is not valid: next is "

# Way: what is done, what comes of it (an errno, some, or a result), what the guest's status says then.
CASES = {
    "listed-slash": (list_it, errno.EPROTO, "the guest listed a name that cannot be one"),
    "listed-outside": (list_it, errno.EPROTO, BOUNDS),
    "listed-absolute": (list_it, errno.EPROTO, BOUNDS),
    "listed-nul": (list_it, errno.EPROTO, BOUNDS),
    "listed-dot": (list_it, errno.EPROTO, BOUNDS),
    "listed-dot-dot": (list_it, errno.EPROTO, BOUNDS),
    "listed-empty": (list_it, errno.EPROTO, BOUNDS),
    "listed-long": (list_it, errno.EPROTO, BOUNDS),
    "listed-twice": (list_it, errno.EPROTO, ORDER),
    "listed-disorder": (list_it, errno.EPROTO, ORDER),
    "listed-type": (list_it, errno.EPROTO, TYPE),
    "listed-size": (list_it, errno.EPROTO, BOUNDS),
    "listed-target-nul": (list_it, errno.EPROTO, BOUNDS),
    "listed-torn": (list_it, errno.EPROTO, BOUNDS),
    "listed-no-further": (list_it, errno.EPROTO, "the guest's listing does not go on"),
    "listed-one-by-one": (list_it, errno.ETIMEDOUT, " time"),
    "over-credit": (list_it, errno.EPROTO, "bytes of data with credit for"),
    "behind-the-end": (list_it, errno.EIO, PROTOCOL + "data behind the last of it"),

    "size-negative": (stat_it, errno.EPROTO, BOUNDS),
    "size-enormous": (size, 2**63 - 1, None),
    "blocks-negative": (stat_it, errno.EPROTO, BOUNDS),
    "time-impossible": (stat_it, errno.EPROTO, BOUNDS),
    "type-none": (stat_it, errno.EPROTO, TYPE),
    "type-strange": (stat_it, errno.EPROTO, TYPE),
    "type-high": (stat_it, errno.EPROTO, TYPE),
    "type-disk": (read_it, errno.EACCES, None),  # the mount is nodev
    "type-other": (kind, stat.S_IFDIR, None),
    "root-of-a-file": (stat_root, errno.EPROTO, "the guest told of a workspace that is no directory"),
    "opened-never": (read_it, GONE, SILENT),
    "closed-never": (read_it, b"contents", None),
    "opened-other-type": (read_it, errno.ESTALE, None),
    "made-other-type": (make, errno.EIO, None),
    "attributes-short": (stat_it, errno.EPROTO, BOUNDS),
    "attributes-long": (stat_it, errno.EPROTO, "has 1 bytes too many"),
    "attributes-none": (stat_it, errno.EPROTO, BOUNDS),

    "target-nul": (read_link, errno.EPROTO, BOUNDS),
    "target-long": (read_link, errno.EPROTO, BOUNDS),
    "target-empty": (read_link, errno.EACCES, None),
    "target-outside": (follow_link, errno.EACCES, None),
    "target-absolute": (follow_link, errno.EACCES, None),

    "read-more": (read_it, errno.EPROTO, "the answer to 'read' has 135168 bytes, more than "),
    "read-fewer": (read_it, b"con", None),
    "read-never": (read_it, GONE, SILENT),
    "written-nonsense": (write_it, errno.EPROTO, BOUNDS),
    "written-never": (write_it, GONE, SILENT),

    "space-enormous": (free_blocks, 2**64 - 1, None),
    "space-none": (free_blocks, 0, None),

    "errno-ours": (stat_it, errno.EIO, None),
    "errno-of-no-kernel": (stat_it, errno.EIO, None),
    "errno-highest": (read_it, errno.EIO, None),
    "sentence-controls": (run_it, errno.EPERM, None),
    "sentence-long": (run_it, errno.EPERM, None),
    "sentence-megabyte": (stat_it, errno.EIO, PROTOCOL + "a frame of 1048576 bytes"),
    "sentence-over": (stat_it, errno.EIO, PROTOCOL + "8193 bytes of answer to 'stat'"),

    "frame-kind": (stat_it, errno.EIO, PROTOCOL + "a frame of the unknown kind 9"),
    "frame-call": (stat_it, errno.EIO, PROTOCOL + "a frame that only a client sends"),
    "frame-cancel": (stat_it, errno.EIO, PROTOCOL + "a frame that only a client sends"),
    "frame-over": (stat_it, errno.EIO, PROTOCOL + "a frame of 135169 bytes"),
    "frame-huge": (stat_it, errno.EIO, PROTOCOL + "a frame of 4294967295 bytes"),
    "frame-flags": (stat_it, errno.EIO, PROTOCOL + "a frame of kind 2 with the flags 2"),
    "frame-code": (stat_it, errno.EIO, PROTOCOL + "a frame of kind 4 with the code 1"),
    "frame-zero": (stat_it, errno.EIO, PROTOCOL + "a frame of the call 0"),
    "frame-torn": (stat_it, errno.EIO, "connection"),
    "answer-unasked": (stat_it, errno.EIO, PROTOCOL + "a frame of the call 4294967295, which is not open"),
    "answer-twice": (size, 8, "which is not open"),
    "data-untaken": (stat_it, errno.EIO, PROTOCOL + "1 bytes of data with credit for 0"),
    "data-nothing": (list_it, errno.EIO, PROTOCOL + "data without a byte"),
    "events-unasked": (stat_it, errno.EIO, PROTOCOL + "a frame of the call 4711, which is not open"),
    "events-flood": (stat_it, errno.EIO, PROTOCOL + "a frame of the call 4711, which is not open"),
    "credit-odd": (stat_it, errno.EIO, PROTOCOL + "credit that is not a number"),
    "credit-overflow": (size, 8, None),
    "credit-never": (run_with_input, errno.ETIMEDOUT, None),

    "output-over": (read_output, errno.EPROTO, "more output than was asked for"),
    "output-ahead": (read_shell, errno.EPROTO, COUNT),
    "output-skips": (read_shell, OUTPUT, None),
    "output-back": (read_shell, errno.EPROTO, "that was asked for no more"),
    "output-before": (read_shell, errno.EPROTO, COUNT),
    "state-controls": (run_it, errno.EPROTO, WORD),
    "state-number": (run_it, errno.EPROTO, "state must be a string"),
    "state-long": (run_it, errno.EPROTO, WORD),
    "exit-code-huge": (run_it, errno.EPROTO, "exit_code is 1000000000000000000, which is not from "),
    "process-array": (run_it, errno.EPROTO, "must be a JSON object"),
    "process-deep": (run_it, errno.EPROTO, "more than 32 levels deep"),
    "service-state-controls": (start_service, errno.EPROTO, WORD),
    "service-command-huge": (start_service, None, None),
    "shell-state-controls": (read_shell, errno.EPROTO, WORD),
    "input-took-more": (write_shell, errno.EPROTO, "the guest took 4294967295 of 6 bytes"),
    "input-took-none": (write_shell, errno.EPROTO, "the guest took 0 of 6 bytes"),

    "deaf": (stat_it, GONE, SILENT),
}
# These have tests of their own.
OTHERS = {"late", "listed-endless", "listed-half"}


def test_no_way_is_left_out():
    assert CASES.keys() | OTHERS == WAYS.keys()


@pytest.mark.parametrize("way", CASES)
def test_a_way_to_misbehave(hostile, way):
    step, outcome, sentence = CASES[way]
    m = hostile()
    assert is_well(m)
    m.agent.be(way)
    begun = time.monotonic()
    try:
        result = step(m)
    except OSError as error:
        result = error.errno
    assert time.monotonic() - begun < IN_TIME
    wait_until(lambda: m.agent.struck, "it was asked")  # a close comes behind the caller's back
    assert result in outcome if isinstance(outcome, tuple) else result == outcome
    m.agent.be()
    wait_until(lambda: is_well(m), "the mount is well again")
    status = keyed(m.g / "status")
    assert status["state"] == "up"
    if sentence:
        assert sentence in status["last_error"]
    assert status["last_error"].isprintable()
    is_small(m)


def test_what_is_said_of_it(hostile):
    """A sentence from the guest is one line, of characters that can be shown, and not too long."""
    m = hostile()
    for way, sentence in (("sentence-controls", "line 1: run: two?lines?[31m\n"),
                          ("state-controls", f"line 1: run: {WORD}"),
                          ("credit-never", "line 1: run: the agent did not answer 'command input' in time\n")):
        m.agent.be(way)
        with pytest.raises(OSError):
            CASES[way][0](m)
        assert m.said.startswith(sentence)
        assert m.said[:-1].isprintable()
    m.agent.be("sentence-long")
    with fails(errno.EPERM):
        run_it(m)
    assert m.said.startswith("line 1: run: üüü") and len(m.said.encode()) <= 4096 and m.said[:-1].isprintable()


def test_a_node_that_changes_its_type(hostile):
    """Its name leads to a new one, and back; who works in the one that it was has not become the other's user."""
    m = hostile()
    handle = os.open(m.w / "f", os.O_RDONLY)
    try:
        for way, now in (("type-other", stat.S_IFDIR), (None, stat.S_IFREG)) * 2:
            m.agent.be(way)
            assert kind(m) == now
            assert stat.S_ISREG(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
    assert is_well(m)


def test_a_file_of_an_enormous_size(hostile):
    m = hostile()
    m.agent.be("size-enormous")
    assert size(m) == 2**63 - 1
    assert read_it(m) == b"contents"
    is_small(m)


@pytest.mark.limit(200)
def test_a_listing_that_never_ends(hostile):
    """Is ended here, at 4,194,304 entries, which are nowhere in memory."""
    m = hostile(timeout=100, limit=120)
    m.agent.be("listed-endless")
    with fails(errno.EOVERFLOW):
        list_it(m)
    m.agent.be()
    assert is_well(m)
    assert keyed(m.g / "status")["last_error"] == "a directory has more than 4194304 entries"
    is_small(m)


@pytest.mark.limit(120)
def test_many_listings_that_do_not_end(hostile, ground):
    """Each of many callers has its part of one, and waits: together they do not take much."""
    names = [f"d{number}" for number in range(240)]
    for name in names:
        (ground / name).mkdir()
    m = hostile()
    m.agent.be("listed-half")
    with ThreadPoolExecutor(len(names)) as pool:
        failed = list(pool.map(lambda name: pytest.raises(OSError, os.listdir, m.w / name).value.errno, names))
    assert set(failed) <= {*GONE}
    is_small(m)
    m.agent.be()

    def well():
        with contextlib.suppress(OSError):
            return get(m.w / "f") == b"contents"

    wait_until(well, "the mount is well again")


def test_one_that_answers_late(hostile):
    """A second for each answer is slow, and no error."""
    m = hostile(timeout=10)
    m.agent.be("late")
    assert size(m) == 8
    assert m.agent.struck
    m.agent.be()
    assert is_well(m)
    assert keyed(m.g / "status")["last_error"] == "null"


def test_one_that_does_not_read_what_is_written(hostile):
    """Much is under way when it stops; what could not be sent is an error of the close."""
    m = hostile()
    m.agent.be("deaf")
    begun = time.monotonic()
    with pytest.raises(OSError) as failed:
        put(m.w / "d/new", b"x" * (8 << 20))
    assert failed.value.errno in (*GONE, errno.EIO)
    assert time.monotonic() - begun < IN_TIME
    m.agent.be()
    wait_until(lambda: is_well(m), "the mount is well again")
    assert SILENT in keyed(m.g / "status")["last_error"]
    is_small(m)


def test_honest_meanwhile(hostile):
    """The agent of these tests, while it is honest: else they would show nothing."""
    m = hostile()
    assert run_it(m) == "3\n"
    assert read_output(m) == OUTPUT.decode()
    assert read_shell(m) == OUTPUT
    write_shell(m)
    write_it(m)
    assert is_well(m)
