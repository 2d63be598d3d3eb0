"""``sfu-wrapper config``: check, show and describe the configuration."""

import json
import os
from argparse import ArgumentParser, Namespace

from sfu_wrapper.cli import common
from sfu_wrapper.config.load import Loaded, inspect, rows, schema


def add_arguments(parser: ArgumentParser) -> None:
    """Add the three actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, action, text in (
        ("check", _check, "print ok, or every problem, one line each"),
        ("show", _show, "print every key with its value and source, secrets masked"),
        ("schema", _schema, "print the JSON Schema of all keys"),
    ):
        inner = actions.add_parser(name, help=text, description=text)
        common.add_common(inner)
        inner.set_defaults(action=action)


def run(args: Namespace) -> int:
    """Run the action."""
    code: int = args.action(args)
    return code


def _check(args: Namespace) -> int:
    result = inspect(common.config_dir(args), os.environ)
    if not isinstance(result, Loaded):
        for problem in result:
            common.emit(args, str(problem), problem=problem.text, source=problem.source)
        return common.FAILED
    for note in result.notes:
        common.emit(args, f"note: {note}", note=note)
    folder = None if result.folder is None else str(result.folder)
    common.emit(args, f"ok: {folder or 'built-in defaults'}", ok=True, folder=folder)
    return common.DONE


def _show(args: Namespace) -> int:
    for row in rows(common.configured(args)):
        value = json.dumps(row.value, ensure_ascii=False)
        text = f"{row.key.name} = {value}  # {row.source}"
        common.emit(args, text, key=row.key.name, value=row.value, source=row.source)
    return common.DONE


def _schema(args: Namespace) -> int:
    described = schema()
    common.emit(args, json.dumps(described, indent=2), **described)
    return common.DONE
