"""``voxemo tasks``: the lm-eval task tree."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("tasks")
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    path = commands.add_parser(
        "path", help="absolute path of the tree (for --include_path), or of one task's file"
    )
    path.add_argument("name", nargs="?", help="task, group, or 'register'")
    path.set_defaults(func=show_path)
    ls = commands.add_parser("ls", help="tasks, groups and tags, a line each")
    ls.set_defaults(func=list_all)


def show_path(args: argparse.Namespace) -> int:
    from ..tasks.tree import path_of, tree

    print(tree() if args.name is None else path_of(args.name))
    return 0


def list_all(args: argparse.Namespace) -> int:
    from ..results.table import align
    from ..tasks.tree import known_names, known_tags, members

    rows = [["name", "kind", "corpora"]]
    for name in known_names():
        if name == "register":
            continue
        kind = "group" if name in ("voxemo", "voxemo_prepared") else "task"
        rows.append([name, kind, ", ".join(members([name])) or "-"])
    for tag, tasks in known_tags().items():
        rows.append([tag, "tag", ", ".join(members(tasks))])
    print(align(rows))
    return 0
