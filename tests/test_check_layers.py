#!/usr/bin/env python3
"""Tests check_layers.py on small trees, each with one thing wrong."""
import contextlib
import io
import os
import tempfile
import unittest

import check_layers

GOOD = {
    "protocol/error.h": "#include <errno.h>\n",
    "protocol/line/line.h": '#include "protocol/error.h"\n',
    "protocol/agent/files.c": '#include "protocol/error.h"\n#include "protocol/agent/files.h"\n',
    "protocol/agent/files.h": "",
    "fs/vnode.h": '#include "protocol/error.h"\n',
    "fs/ops.c": '#include <fuse_lowlevel.h>\n#include "fs/vnode.h"\n',
    "fs/main.c": '#include "ctl/ctl.h"\n#include "fs/vnode.h"\n',
    "ctl/ctl.h": '#include "fs/vnode.h"\n',
    "ctl/shell.c": '#include "ctl/ctl.h"\n#include "protocol/line/line.h"\n',
    "tests/unit/test_x.c": '#include "fs/vnode.h"\n#include "ctl/ctl.h"\n',
    "README.md": "The guest's tree is /workspace; see also /home/you/work/tree.\n",
    "dev": "#!/bin/sh\ncd /work/somewhere\n",
}


class Tree(unittest.TestCase):
    def check(self, changes):
        """What the checker prints for the good tree with these files changed."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD, **changes}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "wb") as file:
                    file.write(text if isinstance(text, bytes) else text.encode())
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                code = check_layers.main(["check_layers.py", root])
            lines = out.getvalue().splitlines()
            self.assertEqual(code, 1 if lines else 0)
            return lines

    def expect(self, changes, *starts):
        lines = self.check(changes)
        self.assertEqual(len(lines), len(starts), lines)
        for line, start in zip(lines, starts):
            self.assertTrue(line.startswith(start), f"{line!r} does not start with {start!r}")

    def test_good_tree(self):
        self.expect({})

    def test_protocol_knows_no_mount(self):
        self.expect({"protocol/a.c": '\n#include "ctl/ctl.h"\n'},
                    "protocol/a.c:2: includes ctl/ctl.h: protocol/ knows no mount")
        self.expect({"protocol/a.c": '#  include  "fs/not_there.h"\n'},
                    "protocol/a.c:1: includes fs/not_there.h")
        self.expect({"protocol/a.c": "#include <fuse3/fuse_lowlevel.h>\n"},
                    "protocol/a.c:1: includes fuse3/fuse_lowlevel.h: only fs/ sees FUSE")

    def test_agent(self):
        self.expect({"protocol/agent/files.c": '#include "protocol/line/line.h"\n'},
                    "protocol/agent/files.c:1: includes protocol/line/line.h: the agent")
        self.expect({"protocol/agent/files.c": '#include "../line/line.h"\n'},
                    "protocol/agent/files.c:1: includes protocol/line/line.h: the agent")
        self.expect({"protocol/agent/files.c": '#include "ctl/ctl.h"\n'},
                    "protocol/agent/files.c:1: includes ctl/ctl.h")
        self.expect({"protocol/local.c": '#include "protocol/agent/files.h"\n'},
                    "protocol/local.c:1: includes protocol/agent/files.h: nothing stands on")
        self.expect({"ctl/shell.c": '#include "protocol/agent/files.h"\n'},
                    "ctl/shell.c:1: includes protocol/agent/files.h: nothing stands on")

    def test_ctl(self):
        self.expect({"ctl/shell.c": '#include "fs/node.h"\n'},
                    "ctl/shell.c:1: includes fs/node.h: of fs/, ctl/ sees fs/vnode.h alone")
        for header in ("fuse.h", "fuse_lowlevel.h", "fuse3/fuse.h", "fuse3/fuse_opt.h"):
            self.expect({"ctl/shell.c": f"#include <{header}>\n"},
                        f"ctl/shell.c:1: includes {header}: only fs/ sees FUSE")

    def test_fs(self):
        self.expect({"fs/ops.c": '#include "ctl/ctl.h"\n'},
                    "fs/ops.c:1: includes ctl/ctl.h: fs/ meets ctl/ only in main.c")
        self.expect({"fs/main.c": '#include "ctl/cmd.h"\n', "ctl/cmd.h": ""},
                    "fs/main.c:1: includes ctl/cmd.h: fs/ meets ctl/ only in main.c")
        self.expect({"fs/vnode.h": '#include "fs/node.h"\n', "fs/node.h": ""},
                    "fs/vnode.h:1: includes fs/node.h: fs/vnode.h stands on protocol/ alone")

    def test_cycles(self):
        self.expect({"protocol/a.h": '#include "protocol/b.h"\n',
                     "protocol/b.h": '\n#include "protocol/c.h"\n',
                     "protocol/c.h": '#include "protocol/a.h"\n'},
                    "protocol/a.h:1: include cycle: protocol/a.h -> protocol/b.h -> protocol/c.h")
        self.expect({"protocol/a.h": '#include "protocol/a.h"\n'},
                    "protocol/a.h:1: include cycle: protocol/a.h -> protocol/a.h")

    def test_rooms_that_include_each_other(self):
        self.expect({"lib/x.h": '#include "ctl/cmd.h"\n', "ctl/cmd.h": "",
                     "ctl/shell.c": '#include "lib/x.h"\n'},
                    "ctl/shell.c:1: rooms include each other: ctl -> lib -> ctl")

    def test_length(self):
        self.expect({"fs/long.c": "int x;\n" * 450})
        self.expect({"fs/long.c": "int x;\n" * 451}, "fs/long.c:451: has 451 lines")

    def test_paths_of_one_machine(self):
        self.expect({"docs/x.md": "a\nsee /work/main/dev\n"},
                    "docs/x.md:2: has an absolute path of one machine: see /work/main/dev")
        self.expect({"protocol/x.c": '/* "/work/x" */\n'}, "protocol/x.c:1: has an absolute path")
        self.expect({"docs/x.md": "in ../shared/DESIGN.md\n"}, "docs/x.md:1: has a path outside")
        self.expect({"docs/x.png": b"\xff\xfe /work/x \n", "build/x.c": "/work/\n"})

    def test_not_the_root(self):
        with tempfile.TemporaryDirectory() as root, \
                contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(check_layers.main(["check_layers.py", root]), 2)
        self.assertIn("not the project's root", err.getvalue())


if __name__ == "__main__":
    unittest.main()
