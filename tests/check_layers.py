#!/usr/bin/env python3
"""Checks what the compiler does not: which room may include which, and a few house rules.

    check_layers.py [ROOT]

prints each offence as `file:line: text` and exits with 1 if there was one.  The arrows are those
of docs/architecture.md:

    protocol/        knows no mount: neither fs/ nor ctl/, no FUSE
    protocol/agent/  stands on protocol/ itself, not on the client's side (protocol/line/), and
                     nothing stands on it
    ctl/             stands on protocol/ and fs/vnode.h, and never sees FUSE
    fs/vnode.h       stands on protocol/ alone
    fs/              meets ctl/ only in main.c, through ctl/ctl.h
"""
import os
import re
import sys

MAX_LINES = 450
SKIPPED_DIRS = re.compile(r"^(\.git|build.*|__pycache__|\.pytest_cache|\.cache|corpus)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
FUSE = re.compile(r"(^|/)(fuse|fuse_\w+|cuse_lowlevel)\.h$")
# What belongs to one machine or to the way the work is organised, not to the project.
FOREIGN = [
    (re.compile(r"(?<![\w.~}-])/work/"), "an absolute path of one machine"),
    (re.compile(r"\.\./shared\b"), "a path outside the project"),
]


def project_files(root):
    """Paths relative to root, in a stable order."""
    found = []
    for folder, dirs, files in os.walk(root):
        dirs[:] = sorted(d for d in dirs if not SKIPPED_DIRS.match(d))
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files
                  if name != ".git"]  # a linked worktree has a file of that name
    return sorted(found)


def read_lines(path):
    """The file's lines; none for something that is no text."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except (UnicodeDecodeError, OSError):
        return []


def room_of(path):
    """The room a file belongs to: the unit between which include arrows are drawn."""
    if path == "fs/vnode.h":
        return path
    if path.startswith("protocol/agent/"):
        return "protocol/agent"
    return path.split("/")[0]


def forbidden_project_include(path, target):
    """Why the file must not include the project's header, or None."""
    room, theirs = room_of(path), room_of(target)
    if room == "protocol/agent" and target.startswith("protocol/line/"):
        return "the agent does not stand on the client's side"
    if theirs == room or room == "tests":
        return None
    if theirs == "protocol/agent":
        return "nothing stands on the agent"
    if room in ("protocol", "protocol/agent") and theirs != "protocol":
        return "protocol/ knows no mount"
    if room == "fs/vnode.h" and theirs != "protocol":
        return "fs/vnode.h stands on protocol/ alone"
    if room == "ctl" and theirs == "fs":
        return "of fs/, ctl/ sees fs/vnode.h alone"
    if room == "fs" and theirs == "ctl" and (path, target) != ("fs/main.c", "ctl/ctl.h"):
        return "fs/ meets ctl/ only in main.c, through ctl/ctl.h"
    return None


def resolve(root, path, target):
    """The project's file that a quoted include names, or None."""
    for candidate in (target, os.path.join(os.path.dirname(path), target)):
        candidate = os.path.normpath(candidate)
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    # A header that is not there is still meant for the room that it names.
    first = target.split("/")[0]
    return os.path.normpath(target) if first in ("protocol", "ctl", "fs") else None


def check_includes(root, path, lines, graph):
    """The offences of one C file; its other arrows go to graph[path] = {target: line}."""
    arrows = graph.setdefault(path, {})
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, header = match.groups()
        if FUSE.search(header) and room_of(path) not in ("fs", "tests"):
            yield number, f"includes {header}: only fs/ sees FUSE"
            continue
        # <fs/...> would find the project's header as well.
        target = resolve(root, path, header) if quote == '"' or "/" in header else None
        if target is None:
            continue
        why = forbidden_project_include(path, target)
        if why:
            yield number, f"includes {target}: {why}"
        else:
            arrows.setdefault(target, number)


def find_cycles(graph):
    """Each cycle once, as the list of its nodes, beginning with the smallest."""
    cycles, done = set(), set()

    def visit(node, trail):
        if node in trail:
            cycle = trail[trail.index(node):]
            first = cycle.index(min(cycle))
            cycles.add(tuple(cycle[first:] + cycle[:first]))
            return
        if node in done:
            return
        for target in sorted(graph.get(node, ())):
            visit(target, trail + [node])
        done.add(node)

    for node in sorted(graph):
        visit(node, [])
    return sorted(cycles)


def check_cycles(graph):
    """Cycles between headers, and between rooms."""
    for cycle in find_cycles(graph):
        yield cycle[0], graph[cycle[0]][cycle[1 % len(cycle)]], "include cycle: " + " -> ".join(
            cycle + cycle[:1])
    rooms, example = {}, {}
    for path, arrows in graph.items():
        for target, line in arrows.items():
            if "tests" in (room_of(path), room_of(target)) or room_of(path) == room_of(target):
                continue
            rooms.setdefault(room_of(path), set()).add(room_of(target))
            example.setdefault((room_of(path), room_of(target)), (path, line))
    for cycle in find_cycles(rooms):
        path, line = example[(cycle[0], cycle[1 % len(cycle)])]
        yield path, line, "rooms include each other: " + " -> ".join(cycle + cycle[:1])


def check(root):
    """All offences below root as (file, line, text)."""
    graph = {}
    for path in project_files(root):
        lines = read_lines(os.path.join(root, path))
        if path.endswith((".c", ".h")):
            for number, text in check_includes(root, path, lines, graph):
                yield path, number, text
            if len(lines) > MAX_LINES:
                yield path, len(lines), f"has {len(lines)} lines, more than {MAX_LINES}: split it"
        if lines and lines[0].startswith("#!"):
            continue  # a script may know where it runs
        for number, line in enumerate(lines, 1):
            for pattern, what in FOREIGN:
                if pattern.search(line):
                    yield path, number, f"has {what}: {line.strip()}"
    yield from check_cycles(graph)


def main(argv):
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    if not os.path.isdir(os.path.join(root, "protocol")):
        print(f"{root}: not the project's root (it has no protocol/)", file=sys.stderr)
        return 2
    offences = list(check(root))
    for path, line, text in offences:
        print(f"{path}:{line}: {text}")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
