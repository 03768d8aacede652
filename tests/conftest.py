"""What holds in every test: no network, few threads, nothing of this user's home by accident.

Fixtures: ``home`` (an empty VOXEMO_HOME) and ``shared`` (real data that is no part of the project).
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Before numpy and torch are imported; processes that tests start inherit these.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parent.parent


class NetworkClosedError(RuntimeError):
    """A test tried to reach another machine."""


def _is_local(host: object) -> bool:
    """Loopback by name or number, or no host at all."""
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse_unless_local(address: object) -> None:
    # A pair or longer is an internet address; a path (AF_UNIX) stays on this machine.
    if isinstance(address, tuple) and not _is_local(address[0]):
        raise NetworkClosedError(f"the network is closed in tests; something asked for {address}")


_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_sendto = socket.socket.sendto
_getaddrinfo = socket.getaddrinfo


class _Closed:
    """The calls of ``socket`` that reach another machine, refusing to."""

    @staticmethod
    def connect(self: socket.socket, address: Any) -> None:
        _refuse_unless_local(address)
        _connect(self, address)

    @staticmethod
    def connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_unless_local(address)
        return _connect_ex(self, address)

    @staticmethod
    def sendto(self: socket.socket, *args: Any) -> int:
        _refuse_unless_local(args[-1])
        return _sendto(self, *args)

    @staticmethod
    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if not _is_local(host):
            raise NetworkClosedError(f"the network is closed in tests; something looked up {host}")
        return _getaddrinfo(host, *args, **options)


def pytest_configure() -> None:
    """Close the network before the first test module is imported, and keep it closed."""
    socket.socket.connect = _Closed.connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _Closed.connect_ex  # type: ignore[method-assign]
    socket.socket.sendto = _Closed.sendto  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = _Closed.getaddrinfo


def pytest_unconfigure() -> None:
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]
    socket.socket.sendto = _sendto  # type: ignore[method-assign]
    socket.getaddrinfo = _getaddrinfo


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty VOXEMO_HOME of this test's own."""
    monkeypatch.setenv("VOXEMO_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data for trying and testing: $VOXEMO_SHARED, or ``shared`` beside the repository."""
    named = os.environ.get("VOXEMO_SHARED", "").strip()
    folder = Path(named).expanduser() if named else ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is not a folder (set VOXEMO_SHARED to have it)")
    return folder


@pytest.fixture
def mini_home(home: Path) -> Path:
    """A home in which the built-in corpus is prepared."""
    from voxemo_tasks.corpora import prepare

    prepare("mini", None, progress=False)
    return home


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of replies for the scripted model."""

    def make(*rows: dict[str, Any]) -> Path:
        path = tmp_path / "script.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make
