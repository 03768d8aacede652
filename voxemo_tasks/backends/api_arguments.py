"""Reading ``--model_args`` of ``api-audiolm``: nothing wrong is sent, and no key is let in.

lm-eval logs the arguments of a model and writes them into its results. So a key is refused wherever
it may stand among them, by an error that does not repeat it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import OptionError
from ..records import Json
from .api_replies import Secret

OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"
AUDIO_FORMATS = ("wav", "flac")
MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
DROPPABLE = frozenset({"temperature", "top_p", "seed", "stop"})
"""Fields that ``extra_body`` may set to null, for servers that refuse them."""
OURS = DROPPABLE | {*MAX_TOKENS_FIELDS, "model", "messages", "n", "stream", "top_k"}
SECRET_NAMES = re.compile(
    r"^(key|token|sig)$|(api|access|auth|secret)[_-]?(key|token)$|secret$|password$|authorization$",
    re.IGNORECASE,
)


def refuse_keys(arguments: Mapping[str, Any]) -> None:
    """Refuse a key among ``--model_args``; they are logged and written into the results by lm-eval.

    Raises:
        OptionError: Which names the argument and never its value.

    Example:
        >>> refuse_keys({"model": "m", "api_key_env": "MY_KEY"})
    """
    advice = "put the key into an environment variable and its name into api_key_env="
    for name in arguments:
        if SECRET_NAMES.search(str(name)):
            raise OptionError(
                f"--model_args: {name}= is refused, since they are recorded; {advice}"
            )
    variable = arguments.get("api_key_env")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(variable)):
        raise OptionError(f"api_key_env= is not the name of an environment variable; {advice}")
    try:
        url = urlsplit(str(arguments.get("base_url") or ""))
    except ValueError:
        return  # read_base_url says what is wrong with it
    if url.username is not None or url.password is not None:
        raise OptionError(f"base_url= holds a user name or password; {advice}")
    for name, _ in parse_qsl(url.query, keep_blank_values=True):
        if SECRET_NAMES.search(name):
            raise OptionError(f"base_url= holds a key ({name!r} in its query); {advice}")
    for name in _names_in(arguments.get("extra_body")):
        if SECRET_NAMES.search(name):
            raise OptionError(f"extra_body holds {name!r}, which looks like a key; {advice}")


def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            if not isinstance(inner, str):
                yield from _names_in(inner)


def read_key(api_key_env: str | None, host: str) -> Secret:
    """The key from the environment; one that was not named goes to OpenAI's own host alone.

    Raises:
        OptionError: Where the variable that was named is not set.
    """
    if api_key_env is None and host != OPENAI_HOST:
        return Secret("", OPENAI_KEY)
    variable = OPENAI_KEY if api_key_env is None else str(api_key_env)
    value = os.environ.get(variable, "").strip()
    if not value and api_key_env is not None:
        # A key given in place of a name must not be repeated; names are upper case by custom.
        shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "(not shown)"
        raise OptionError(
            f"api_key_env= names the environment variable {shown}, which is not set; export it, or "
            "leave api_key_env out for a server that wants no key"
        )
    return Secret(value, variable)


def read_base_url(base_url: str) -> tuple[str, str]:
    """The URL to post to, and the host as the fingerprint has it.

    Raises:
        OptionError: For anything but an http(s) URL with a host.

    Example:
        >>> read_base_url("http://127.0.0.1:8000/v1/?api-version=3")
        ('http://127.0.0.1:8000/v1/chat/completions?api-version=3', '127.0.0.1:8000')
    """
    try:
        url = urlsplit(base_url.strip())
        host, port = url.hostname, url.port
    except ValueError as error:
        raise OptionError(f"base_url= cannot be read as a URL ({error})") from error
    if url.scheme not in ("http", "https") or not host:
        raise OptionError(
            "--model_args of api-audiolm needs base_url=, e.g. https://api.openai.com/v1 or "
            f"http://127.0.0.1:8000/v1; got {base_url!r}"
        )
    path = url.path.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[url.scheme]
    place = shown if port in (None, default) else f"{shown}:{port}"
    return url._replace(path=path, fragment="").geturl(), place


def read_extra_body(extra_body: Mapping[str, Any] | str | None) -> Json:
    """``extra_body`` as an object that leaves the recorded request true.

    Raises:
        OptionError: For no JSON object, or one that sets what the run itself decides.

    Example:
        >>> read_extra_body('{"reasoning_effort": "low", "seed": null}')
        {'reasoning_effort': 'low', 'seed': None}
    """
    value: Any = extra_body or {}
    try:
        value = json.loads(value) if isinstance(value, str) else json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"extra_body is not JSON ({error}); on a command line give all of --model_args as one "
            """JSON object: '{"base_url": "...", "model": "...", "extra_body": {"top_a": 1}}'"""
        ) from error
    if not isinstance(value, dict):
        raise OptionError(f"extra_body must be a JSON object, got {type(value).__name__}")
    for name, inner in value.items():
        if name in OURS and not (name in DROPPABLE and inner is None):
            raise OptionError(
                f"extra_body: {name!r} is set by the run (prompt, --metadata, --gen_kwargs) and "
                f"recorded; only null, which leaves it out, for {', '.join(sorted(DROPPABLE))}"
            )
    return dict(value)


def number(name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf) -> float:
    """A finite number within bounds.

    Raises:
        OptionError: For anything else.

    Example:
        >>> number("timeout_s", "2.5", above=0)
        2.5
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number >= least and number > above and math.isfinite(number)):
        bound = f"at least {least:g}" if math.isfinite(least) else f"above {above:g}"
        raise OptionError(f"--model_args: {name}={value!r}: expected a number {bound}")
    return number


def optional(name: str, value: Any, **bounds: float) -> float | None:
    """:func:`number`, or ``None`` where none is given."""
    return None if value is None else number(name, value, **bounds)


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """One of the words allowed; ``OptionError`` otherwise."""
    if str(value) not in allowed:
        raise OptionError(f"--model_args: {name}={value!r}: expected {' or '.join(allowed)}")
    return str(value)
