"""``--config FILE`` of lm-eval, held to what the command line is held to.

lm-eval lays the flags that are given over the file's keys, and those over its defaults. The file's
keys are put among the flags here, so that whatever looks at flags looks at them too.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..errors import OptionError


def lay_under(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Take from the file of ``--config`` what the command line does not say.

    Args:
        args: lm-eval's arguments, changed here.
        parser: Of the sub-command that they were parsed by.

    Raises:
        OptionError: For a file that cannot be read; for a key that lm-eval does not have, or one
            whose value is of another kind, with file and key.
    """
    if not getattr(args, "config", None):
        return
    for key, value in read(str(args.config), parser).items():
        given = getattr(args, key, None)
        if not (given or given == 0):  # what counts as given is lm-eval's own rule
            setattr(args, key, value)


def read(file: str, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The file's keys with their values as the flags of the same names would give them.

    Raises:
        OptionError: As above.
    """
    from lm_eval.config.evaluate_config import EvaluatorConfig

    try:
        found = EvaluatorConfig.load_yaml_config(file)
    except (OSError, ValueError, TypeError) as error:
        raise OptionError(f"--config {file}: {error}") from error
    allowed = [field.name for field in fields(EvaluatorConfig) if field.name != "config"]
    for key in found:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(
                f"--config {file}, key {key!r}: is no key of lm-eval's{hint} Allowed: "
                f"{', '.join(allowed)}"
            )
    actions = {action.dest: action for action in parser._actions}
    return {k: _value(f"--config {file}, key {k}", k, v, actions) for k, v in found.items()}


def _value(where: str, key: str, value: Any, actions: Mapping[str, argparse.Action]) -> Any:
    from lm_eval.config.evaluate_config import DICT_KEYS
    from lm_eval.utils import simple_parse_args_string

    def wrong(expected: str) -> OptionError:
        return OptionError(f"{where}: expected {expected}, got {value!r}")

    action = actions.get(key)
    if value is None or action is None:
        return value
    if key in DICT_KEYS:
        if isinstance(value, str):
            return simple_parse_args_string(value)
        if not isinstance(value, dict):
            raise wrong("a mapping, or key=value pairs joined by commas")
        return value
    if key == "tasks":
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise wrong("a name or a list of names")
        return value
    if isinstance(action, argparse._StoreTrueAction) or key == "fewshot_as_multiturn":
        if not isinstance(value, bool):
            raise wrong("true or false")
        return value
    if isinstance(value, bool) and key == "apply_chat_template":
        return value
    if isinstance(value, dict) and key in ("samples", "cache_requests"):
        return value
    if isinstance(value, list) and key == "seed":
        value = ",".join(map(str, value))
    if isinstance(value, (bool, dict, list)):
        raise wrong("one value")
    assert callable(action.type)
    try:
        return action.type(str(value))
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise OptionError(f"{where}: got {value!r} ({error})") from error
