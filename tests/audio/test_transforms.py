"""The table of transforms, and what all of them have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips import RATE, spoken
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks.audio import TRANSFORM_SPECS, TRANSFORMS, at_severity, resolved, sha256_of
from voxemo_tasks.audio.levels import active_level_db
from voxemo_tasks.audio.transforms import apply
from voxemo_tasks.cli import main
from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.records import AudioRef, Transform, canonical_json, parse_transform

EXAMPLES = {
    "prosody_f0": {"factor": 1.2},
    "prosody_range": {"factor": 0.5},
    "prosody_rate": {"factor": 0.8},
    "prosody_contour": {"factor": 0.7},
    "prosody_energy": {"gain_db": 6},
    "prosody_round_trip": {"op": "f0", "factor": 1.2},
    "gain": {"gain_db": -6},
    "code_switch": {"path": "OTHER", "sha256": "OTHER"},
}


def example(name: str, folder: Path) -> Transform:
    spec = TRANSFORM_SPECS[name]
    if spec.severities:
        return at_severity(name, 3, seed=5)
    parameters = dict(EXAMPLES.get(name, {}))
    if name == "code_switch":
        path = folder / "other.wav"
        soundfile.write(path, spoken("de+m3"), RATE)
        parameters = {"path": str(path), "sha256": sha256_of(path)}
    return resolved(Transform(name, parameters, 5))


@pytest.mark.parametrize("name", TRANSFORM_SPECS)
def test_every_transform(name: str, tmp_path: Path) -> None:
    """Runs, is deterministic, leaves its input alone, and keeps what the table says is kept."""
    x = np.array(spoken("en-us+f2"))
    kept = x.copy()
    transform, spec = example(name, tmp_path), TRANSFORM_SPECS[name]
    y = apply(x, RATE, [transform])
    np.testing.assert_array_equal(x, kept)
    assert y is not x
    assert y.dtype == np.float32
    assert y.ndim == 1
    assert np.isfinite(y).all()
    assert y.tobytes() == apply(x, RATE, [transform]).tobytes()
    assert (len(y) == len(x)) == (spec.length == "kept")
    if spec.level == "kept" and spec.length == "kept":
        tolerance = 0.5 if name in ("control_noise", "control_reverse") else 0.1
        assert active_level_db(y, RATE) == pytest.approx(active_level_db(x, RATE), abs=tolerance)
    other = apply(x, RATE, [Transform(name, transform.parameters, 6)])
    assert np.array_equal(y, other) == (not spec.seeded)
    canonical_json(transform.to_json())
    assert parse_transform(str(transform)) == transform
    assert Transform.from_json(json.loads(json.dumps(transform.to_json()))) == transform


@pytest.mark.parametrize("name", [n for n, s in TRANSFORM_SPECS.items() if s.severities])
def test_severities_get_worse(name: str) -> None:
    assert len(TRANSFORM_SPECS[name].severities) == 5
    x = spoken("en-us+m3")
    heard = [apply(x, RATE, [at_severity(name, level)]) for level in range(1, 6)]

    def distance(y: np.ndarray) -> float:
        """One less the correlation; for a gain, the level."""
        if name == "gain":
            return -float(np.linalg.norm(y))
        return 1.0 - float(np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y))

    found = [distance(y) for y in heard]
    assert all(np.diff(found) > 0), found


@pytest.mark.parametrize("spec", TRANSFORM_SPECS.values(), ids=lambda s: s.name)
def test_the_table_is_consistent(spec) -> None:  # type: ignore[no-untyped-def]
    assert spec.name in TRANSFORMS
    names = [p.name for p in spec.parameters]
    assert len(set(names)) == len(names)
    assert set(spec.one_of) <= set(names)
    assert "seed" not in names
    for p in spec.parameters:
        assert p.meaning
        assert not (p.required and p.default is not None)
        if p.default is not None:
            assert p.read(p.default, "") == p.default
            assert type(p.read(p.default, "")) is type(p.default)
        if p.kind != "text":
            assert p.low == p.high if p.revision else p.low < p.high
            assert p.high < float("inf")
    for level in range(1, len(spec.severities) + 1):
        at_severity(spec.name, level)


def test_resolving_is_one_way_of_writing() -> None:
    short, long = (
        Transform("noise", {"snr_db": 5}, 2),
        Transform("noise", {"snr_db": 5.0, "kind": "white"}, 2),
    )
    assert resolved(short) == resolved(long) == resolved(resolved(short))
    assert canonical_json(resolved(short).to_json()) == canonical_json(resolved(long).to_json())
    assert resolved(Transform("codec_gsm", {}, 9)).seed == 0


@pytest.mark.parametrize("name", ["prosody_f0", "prosody_sham", "control_flat"])
def test_a_revision_is_part_of_what_is_asked_for(name: str) -> None:
    """Replies to what an older resynthesis made are not taken for replies to this one's."""
    given_ = Transform(name, EXAMPLES.get(name, {}))
    written = resolved(given_)
    assert written.parameters["psola"] == 2
    assert AudioRef("a", "b", transforms=(written,)).content()["transforms"] != [given_.content()]
    x = np.array(spoken("en-us+f2"))
    np.testing.assert_array_equal(apply(x, RATE, [given_]), apply(x, RATE, [written]))
    with pytest.raises(OptionError, match="psola=1 is out of range"):
        resolved(Transform(name, {**given_.parameters, "psola": 1}))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: resolved(Transform("nosie")), UnknownNameError, "did you mean 'noise'"),
        (lambda: resolved(Transform("noise", {"snr": 1})), UnknownNameError, "'snr_db'"),
        (lambda: resolved(Transform("noise", {"snr_db": "loud"})), OptionError, "not a number"),
        (lambda: resolved(Transform("noise", {"snr_db": True})), OptionError, "not a number"),
        (lambda: resolved(Transform("noise", {"snr_db": float("nan")})), OptionError, "range"),
        (lambda: resolved(Transform("noise", {"snr_db": 1, "kind": "red"})), OptionError, "white"),
        (lambda: resolved(Transform("control_flat", {"pitch": 0.5})), OptionError, "whole"),
        (lambda: resolved(Transform("noise")), OptionError, "snr_db must be given"),
        (lambda: at_severity("nosie", 1), UnknownNameError, "did you mean"),
        (lambda: at_severity("prosody_f0", 1), OptionError, "no severity levels"),
        (lambda: at_severity("noise", 6), OptionError, "1 to 5"),
        (lambda: at_severity("noise", 0), OptionError, "1 to 5"),
        (lambda: at_severity("noise", 1, {"snr_db": 3}), OptionError, "snr_db set by the sev"),
    ],
)
def test_errors(call: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        call()


VALUES = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)


@given(
    name=NAMES,
    parameters=st.dictionaries(NAMES.filter(lambda n: n != "seed"), VALUES, max_size=5),
    seed=st.integers(-5, 10**6),
)
def test_expressions_come_back(name: str, parameters: dict, seed: int) -> None:  # type: ignore[type-arg]
    given_ = Transform(name, parameters, seed)
    back = parse_transform(str(given_))
    assert back == given_
    assert [type(v) for v in back.parameters.values()] == [type(v) for v in parameters.values()]


@pytest.mark.parametrize(
    ("text", "parameters", "seed"),
    [
        ("silence", {}, 0),
        (" noise ( kind = pink , snr_db = -5 , seed = 7 ) ", {"kind": "pink", "snr_db": -5}, 7),
        ("f(a=1e3, b=.5)", {"a": 1000.0, "b": 0.5}, 0),
        ('f(path="/a, b/(c)|\\"d\\".wav")', {"path": '/a, b/(c)|"d".wav'}, 0),
        ("f(path=/a/b.wav|/c.wav)", {"path": "/a/b.wav|/c.wav"}, 0),
        ('f(a="10")', {"a": "10"}, 0),
    ],
)
def test_expressions(text: str, parameters: dict, seed: int) -> None:  # type: ignore[type-arg]
    read = parse_transform(text)
    assert (read.parameters, read.seed) == (parameters, seed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no transform"),
        ("noise(", "is no transform"),
        ("noise(snr_db)", "cannot read 'snr_db'"),
        ("noise(snr_db=)", "cannot read"),
        ("noise(a=1 b=2)", "cannot read"),
        ("noise(a=1) noise(a=2)", "cannot read"),
        ("noise(a=1, a=2)", "a is given twice"),
        ("noise(seed=1.5)", "not a whole number"),
        ("noise(seed=x)", "not a whole number"),
        ("noise(a=nan)", "no number"),
        ("noise(a=inf)", "no number"),
        ('noise(a="\\x")', "not a quoted text"),
        ("Noise(a=1)", "is no transform"),
    ],
)
def test_expressions_that_are_none(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        parse_transform(text)


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audio", "transforms"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: " in shown for name in TRANSFORM_SPECS)
    assert "severity 1 to 5: snr_db=20 | snr_db=15" in shown
    assert main(["audio", "transforms", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(TRANSFORM_SPECS)


def test_the_command_renders(
    mini_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.wav"

    def render(*more: str, file: Path = out) -> int:
        return main(
            ["audio", "render", "mini_en_003", "--corpus", "mini", "--out", str(file), *more]
        )

    assert render() == 0
    plain, rate = soundfile.read(out, dtype="float32")
    assert rate == 16_000
    assert (
        render("--transform", "prosody_rate(factor=1.25)", "--transform", "gain(gain_db=40)") == 2
    )
    assert "out of range" in capsys.readouterr().err
    assert (
        render("--transform", "prosody_rate(factor=1.25)", "--transform", "gain(gain_db=30)") == 0
    )
    loud, _ = soundfile.read(out, dtype="float32")
    assert len(loud) == round(len(plain) / 1.25)
    assert np.abs(loud).max() > 1.0 or np.abs(plain).max() * 30 < 1.0  # not clipped in the file
    assert render("--transform", "prosody_rate(factor=0.9)", "--check") == 0
    shown = capsys.readouterr().out
    assert "f0_drift" in shown
    assert "FAIL" not in shown
    assert render("--transform", "gain(gain_db=1)", "--check") == 2
    assert render("--check") == 2
    assert render("--rate", "8000") == 0
    assert soundfile.info(out).samplerate == 8000
    assert render(file=tmp_path / "a.mp3") == 2
    assert render(file=tmp_path / "none" / "a.wav") == 2
    assert render("--transform", "nosie") == 2
    assert main(["audio", "render", "mini_en_999", "--corpus", "mini", "--out", str(out)]) == 2


def test_the_command_renders_what_a_condition_asks(
    mini_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def render(text: str, name: str) -> int:
        out = str(tmp_path / f"{name}.wav")
        return main(
            [
                "audio",
                "render",
                "mini_en_003",
                "--corpus",
                "mini",
                "--out",
                out,
                "--transform",
                text,
            ]
        )

    assert render("noise@3(kind=pink)", "level") == 0
    assert render("noise(kind=pink, snr_db=10)", "plain") == 0
    assert (tmp_path / "level.wav").read_bytes() == (tmp_path / "plain.wav").read_bytes()
    assert render("gain@3 + gain(gain_db=-2)", "chain") == 0
    assert "gain(gain_db=-18.0) then gain(gain_db=-2.0)" in capsys.readouterr().out
    assert render("pitch_up.large", "dose") == 0
    assert "prosody_f0(semitones=4.0" in capsys.readouterr().out
    for text in ("babble@3", "code_switch", "shuffled", "context:none", "clean"):
        assert render(text, "none") == 2
        assert "other clips or words of a run" in capsys.readouterr().err
    assert not (tmp_path / "none.wav").exists()
