"""Fixtures of the mount tests: `yard` (a private directory and what runs in it), `m` (a mount).

A test that takes `m` runs over local:.  Marked `core` it runs over the reference peer too, marked
`every` over all kinds of guests; `backends("...")` names them; `options("...")` are the
mount's, `limit(SECONDS)` its time.

VSOCKFS_DIALECT=line is the other half: what speaks the session dialect otherwise, over the line
dialect.  A test that runs over it anyway, or mounts by itself, is not run again.
"""

import os
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from harness import BUILD, Yard, binary  # noqa: E402

# "line" is the bundled agent without its session dialect.
LINE_ONLY = os.environ.get("VSOCKFS_DIALECT") == "line"
BACKENDS = ["local", "unix", "line", "firecracker", "bare", "reference", "reference-bridge"]

# The peer's waits, shortened: what they are for is in the peer's own tests.
REFERENCE_OPTIONS = ["--stop-wait", "1", "--close-wait", "1"]


def pytest_configure(config):
    # Ended from outside, it ends what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for line in ("core: run over the reference peer as well",
                 "every: run over every kind of guest",
                 "backends(kind...): run over these kinds of guests",
                 "options(option...): mount options",
                 "limit(seconds): time the mount may be up",
                 "slow: takes more than a few seconds"):
        config.addinivalue_line("markers", line)


def pytest_sessionstart(session):
    try:
        binary("vsockfs"), binary("vsockfs-agent")
    except FileNotFoundError as error:
        pytest.exit(str(error), returncode=1)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.exit("mount tests need /dev/fuse, readable and writable", returncode=1)


def pytest_report_header(config):
    return f"build: {BUILD}"


def agent_is_static():
    return subprocess.run(["ldd", binary("vsockfs-agent")], capture_output=True,
                          check=False).returncode != 0


def is_sanitized():
    return "libasan" in subprocess.run(["ldd", binary("vsockfs")], capture_output=True, text=True,
                                       check=False).stdout


def pytest_generate_tests(metafunc):
    if "backend" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker
    if named := mark("backends"):
        kinds = list(named.args)
    elif mark("every"):
        kinds = BACKENDS
    elif mark("core"):
        kinds = ["local", "reference"]
    else:
        kinds = ["local"]
    if LINE_ONLY:
        kinds = ["line"] if "line" not in kinds and {"local", "unix"} & set(kinds) else []
    # A local: sandbox swallows what its agent says; a sanitizer's report has to be seen.
    if is_sanitized() and "local" in kinds:
        kinds = list(dict.fromkeys("unix" if kind == "local" else kind for kind in kinds))
    if "bare" in kinds and not agent_is_static():
        kinds = [kind for kind in kinds if kind != "bare"]  # it has no libraries to give it
    metafunc.parametrize("backend", kinds)


def pytest_collection_modifyitems(config, items):
    if not LINE_ONLY:
        return
    other = [item for item in items
             if not hasattr(item, "callspec") or item.callspec.params.get("backend") != "line"]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in other]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"result_{call.when}", outcome.get_result())


@pytest.fixture
def yard(request):
    place = Yard()
    failed = True
    try:
        yield place
        result = getattr(request.node, "result_call", None)
        failed = result is None or result.failed
        if not failed:
            failed = True
            place.check()
            failed = False
    finally:
        place.stop_output = list(place.logs()) if failed else []
        place.stop()
        for words in place.stop_output:
            print(words, file=sys.stderr)


@pytest.fixture
def m(yard, backend, request):
    options = request.node.get_closest_marker("options")
    limit = request.node.get_closest_marker("limit")
    guest = yard.guest(backend, options=REFERENCE_OPTIONS if "reference" in backend else ())
    return yard.mount(guest, options.args if options else (), limit.args[0] if limit else 120)
