"""Temperatures: closed forms, an independent optimiser, netcal, folds, the notes' table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.confidence import soft_hits, top_weights
from voxemo_tasks.metrics.crossfit import crossfit_temperature, disjoint_folds
from voxemo_tasks.metrics.random_effects import random_effects
from voxemo_tasks.metrics.temperature import fit_temperature, scale, smoothed_log_shares


def world(n, temperature, seed=0, votes=5, labels=6):
    """Items of a model that is too sharp by ``temperature``, their votes, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([0.5] * labels, n) + 1e-4
    truth /= truth.sum(axis=1, keepdims=True)
    return np.log(truth) * temperature, rng.multinomial(votes, truth), truth


# One temperature.


def test_two_labels_have_a_closed_form():
    """Odds 4 : 1 claimed, 2 : 1 voted: T = log 4 / log 2 = 2."""
    z = np.log([[0.8, 0.2]] * 4)
    fit = fit_temperature(z, np.array([[2, 1]] * 4))
    assert fit.value == pytest.approx(2, abs=1e-10)
    assert (fit.n, fit.reason) == (4, None)
    # Every item has its own residual of zero: nothing is left to vary.
    assert fit.log_error == pytest.approx(0, abs=1e-10)


def nll(log_t, z, p):
    scaled = z / math.exp(log_t)
    return float(-(p * (scaled - np.logaddexp.reduce(scaled, axis=1)[:, None])).sum(axis=1).mean())


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.6, 3.0])
def test_against_an_optimiser(temperature):
    z, votes, truth = world(3000, temperature)
    p = votes / 5
    found = optimize.minimize_scalar(nll, bounds=(-3, 3), method="bounded", args=(z, p))
    fit = fit_temperature(z, votes)
    assert math.log(fit.value) == pytest.approx(found.x, abs=1e-4)
    assert nll(math.log(fit.value), z, p) <= found.fun + 1e-12
    # The truth lies within 4 standard errors, and the standard error is a small number.
    assert abs(math.log(fit.value / temperature)) < 4 * fit.log_error < 0.15
    assert fit_temperature(z + 7.0, votes).value == pytest.approx(fit.value, abs=1e-9)
    assert fit_temperature(z * 1.5, votes).value == pytest.approx(fit.value * 1.5, rel=1e-9)
    q = scale(z, temperature)[0]
    assert q == pytest.approx(truth, abs=1e-9)


def test_the_standard_error_is_the_spread_of_fits():
    """300 samples of 200 items of 40 speakers; each speaker's items share their votes."""
    fits = []
    for seed in range(300):
        z, votes, _ = world(40, 1.5, seed=seed)
        fits.append(
            fit_temperature(
                np.repeat(z, 5, axis=0), np.repeat(votes, 5, axis=0), np.repeat(range(40), 5)
            )
        )
    spread = np.std([math.log(f.value) for f in fits])
    assert np.mean([f.log_error for f in fits]) == pytest.approx(spread, rel=0.15)
    alone = fit_temperature(*(np.repeat(x, 5, axis=0) for x in world(40, 1.5, seed=0)[:2]))
    assert alone.value == pytest.approx(fits[0].value, abs=1e-10)
    assert alone.log_error < 0.6 * fits[0].log_error
    lonely = fit_temperature(*world(40, 1.5)[:2], ["ann"] * 40)
    assert (lonely.log_error, lonely.value) == (None, pytest.approx(fits[0].value, abs=1e-10))


def test_the_standard_error_by_formula():
    """Two labels, margin d: score d (q - p) and curvature d^2 q (1 - q) / T, summed by speaker."""
    d = np.log([4.0, 9.0, 3.0, 2.0, 6.0])
    votes = np.array([[3, 1], [2, 2], [4, 0], [1, 3], [3, 1]])
    who = np.array([0, 0, 1, 1, 2])
    fit = fit_temperature(np.stack([d, np.zeros(5)], axis=1), votes, who)
    q = 1 / (1 + np.exp(-d / fit.value))
    scores = np.bincount(who, d * (q - votes[:, 0] / 4))
    assert scores.sum() == pytest.approx(0, abs=1e-9)
    curvature = (d**2 * q * (1 - q)).sum() / fit.value
    wanted = math.sqrt(3 / 2 * (scores**2).sum()) / curvature
    assert fit.log_error == pytest.approx(wanted, rel=1e-9)


def test_against_netcal():
    """netcal fits with its own optimiser, to single-label targets; 1/T is its weight."""
    scaling = pytest.importorskip("netcal.scaling")
    z, _, truth = world(3000, 1.6, seed=3)
    rng = np.random.default_rng(4)
    label = np.array([rng.choice(6, p=p / p.sum()) for p in truth])
    theirs = scaling.TemperatureScaling()
    theirs.fit(scale(z, 1.0)[0], label)
    ours = fit_temperature(z, np.eye(6, dtype=int)[label])
    assert ours.value == pytest.approx(1 / float(np.ravel(theirs.temperature)[0]), rel=5e-3)


def test_majority_labels_sharpen():
    """Notes 2.2: T = .41 on plurality labels where soft votes give 1 (truth 1)."""
    rng = np.random.default_rng(7)
    truth = rng.dirichlet([0.3] * 6, 5000) + 1e-9
    truth /= truth.sum(axis=1, keepdims=True)
    votes = rng.multinomial(10, truth)
    plurality = np.eye(6, dtype=int)[votes.argmax(axis=1)]
    soft = fit_temperature(np.log(truth), votes)
    assert soft.value == pytest.approx(1, abs=0.03)
    assert fit_temperature(np.log(truth), plurality).value == pytest.approx(0.41, abs=0.06)


def test_where_there_is_no_temperature():
    flat = fit_temperature(np.zeros((3, 2)), np.array([[1, 0]] * 3))
    assert (flat.value, flat.log_error, flat.reason) == (
        None,
        None,
        "every item gives all labels alike",
    )
    z = np.log([[0.8, 0.2]] * 3)
    assert "below 0.05" in fit_temperature(z, np.array([[1, 0]] * 3)).reason
    assert "above 20.0" in fit_temperature(z, np.array([[0, 1]] * 3)).reason
    assert fit_temperature(np.zeros((0, 2)), np.zeros((0, 2), dtype=int)).reason == "no items"


def test_smoothing():
    """(3 + 1/2) / (4 + 1) ...; the non-answers do not count."""
    got = np.exp(smoothed_log_shares(np.array([[3, 1, 0, 9]]), alpha=0.5))
    assert got[0] == pytest.approx([3.5 / 5.5, 1.5 / 5.5, 0.5 / 5.5], abs=1e-12)
    assert np.exp(smoothed_log_shares(np.array([[0, 0, 2]]))) == pytest.approx(0.5)


# Folds.


@given(
    speakers=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
    data=st.data(),
)
@settings(deadline=None)
def test_folds_part_no_speaker(speakers, folds, seed, data):
    got = disjoint_folds(speakers, folds, seed=seed)
    by_speaker = {
        s: {int(f) for f, o in zip(got, speakers, strict=True) if o == s} for s in speakers
    }
    assert all(len(f) == 1 for f in by_speaker.values())
    used = min(folds, len(by_speaker))
    sizes = np.bincount(got, minlength=used)
    assert (len(sizes), sizes.min() > 0) == (used, True)
    largest = max(speakers.count(s) for s in by_speaker)
    assert sizes.max() - sizes.min() <= largest
    order = data.draw(st.permutations(range(len(speakers))))
    moved = disjoint_folds([speakers[i] for i in order], folds, seed=seed)
    assert moved.tolist() == [got[i] for i in order]


def test_folds_are_even_in_items():
    speakers = ["big"] * 5 + list("abcde")
    assert np.bincount(disjoint_folds(speakers, 2)).tolist() == [5, 5]


def test_the_seed_decides_between_equals():
    speakers = [f"s{i}" for i in range(20)]
    assert disjoint_folds(speakers, 4).tolist() == disjoint_folds(speakers, 4).tolist()
    assert (
        disjoint_folds(speakers, 4, seed=1).tolist() != disjoint_folds(speakers, 4, seed=2).tolist()
    )
    assert disjoint_folds([], 4).tolist() == []


# Cross-fitting.


def cultures(sizes, temperatures, seed=0, speakers=10):
    parts = [
        world(n, t, seed=seed + 100 * i)
        for i, (n, t) in enumerate(zip(sizes, temperatures, strict=True))
    ]
    z, votes, truth = (np.vstack(column) for column in zip(*parts, strict=True))
    groups = [f"culture{i}" for i, n in enumerate(sizes) for _ in range(n)]
    who = [f"{i}-{j % speakers}" for i, n in enumerate(sizes) for j in range(n)]
    return z, votes, truth, who, groups


@pytest.mark.parametrize("kind", ["pooled", "group", "shrunk"])
def test_every_fold_by_hand(kind):
    z, votes, _, who, groups = cultures([60, 200, 120], [1.2, 2.0, 1.5])
    report = crossfit_temperature(z, votes, who, groups, kind=kind, folds=4, seed=2)
    fold, names = disjoint_folds(who, 4, seed=2), np.array(groups)
    applied = np.ones(len(z))
    for held_out in range(4):
        train = fold != held_out
        fits = {}
        for name in sorted(set(groups)):
            at = train & (names == name)
            fits[name] = fit_temperature(z[at], votes[at], [who[i] for i in np.flatnonzero(at)])
        pooled = fit_temperature(z[train], votes[train]).value
        shrunk = random_effects(
            np.log([f.value for f in fits.values()]), np.array([f.log_error for f in fits.values()])
        ).shrunk
        for i, name in enumerate(fits):
            t = {"pooled": pooled, "group": fits[name].value, "shrunk": math.exp(shrunk[i])}[kind]
            applied[(fold == held_out) & (names == name)] = t
    p, hits = votes / 5, soft_hits(votes, top_weights(z))
    assert (report.kind, report.folds, report.overall.group) == (kind, 4, None)
    for row, at in [
        (report.overall, np.ones(len(z), dtype=bool)),
        *((g, names == g.group) for g in report.groups),
    ]:
        before, after = scale(z, 1.0), scale(z, applied)
        assert (row.n, row.wider) == (at.sum(), 0)
        assert row.applied == pytest.approx(np.exp(np.log(applied[at]).mean()), rel=1e-9)
        assert row.nll_before == pytest.approx(-(p * before[1])[at].sum(axis=1).mean(), abs=1e-9)
        assert row.nll_after == pytest.approx(-(p * after[1])[at].sum(axis=1).mean(), abs=1e-9)
        assert row.gap_before == pytest.approx((before[0].max(axis=1) - hits)[at].mean(), abs=1e-9)
        assert row.gap_after == pytest.approx((after[0].max(axis=1) - hits)[at].mean(), abs=1e-9)
        assert row.fitted.value == pytest.approx(fit_temperature(z[at], votes[at]).value, rel=1e-9)
    assert report.overall.gap_before > 0.05
    assert abs(report.overall.gap_after) < 0.03
    assert report.overall.nll_after < report.overall.nll_before


def test_no_speaker_has_a_part_in_its_own_temperature():
    """Two speakers who call for opposite temperatures get each other's."""
    z = np.log([[0.8, 0.2]] * 6)
    votes = np.array([[2, 1]] * 3 + [[20, 1]] * 3)
    report = crossfit_temperature(z, votes, list("aaabbb"), list("AAABBB"), kind="pooled")
    assert report.groups[0].applied == pytest.approx(math.log(4) / math.log(20), rel=1e-9)
    assert report.groups[1].applied == pytest.approx(2, rel=1e-9)
    assert report.groups[0].fitted.value == pytest.approx(2, rel=1e-9)


def test_the_table_of_kinds():
    """Notes 2.3: excess NLL (1/1000 nat), ten cultures of 40 to 3000: none >> pooled > group > shrunk."""
    sizes = [40, 40, 60, 100, 150, 300, 600, 1000, 2000, 3000]
    excess = {kind: [] for kind in ("none", "pooled", "group", "shrunk")}
    small = {kind: [] for kind in excess}
    for seed in range(8):
        temperatures = np.exp(np.random.default_rng(seed).normal(0.5, 0.3, 10))
        z, votes, truth, who, groups = cultures(sizes, temperatures, seed=1000 * seed)
        names = np.array(groups)
        for kind in excess:
            applied = np.ones(len(z))
            if kind != "none":
                for g in crossfit_temperature(z, votes, who, groups, kind=kind).groups:
                    applied[names == g.group] = g.applied
            lost = (truth * (np.log(truth) - scale(z, applied)[1])).sum(axis=1)
            means = [lost[names == g].mean() for g in dict.fromkeys(groups)]
            excess[kind].append(1000 * np.mean(means))
            small[kind].append(1000 * np.mean(means[:3]))
    mean = {kind: np.mean(values) for kind, values in excess.items()}
    assert mean["none"] > 3 * mean["pooled"] > 9 * mean["group"]
    assert mean["shrunk"] < mean["group"] < 5
    assert np.mean(small["shrunk"]) < np.mean(small["group"])


def test_a_group_of_one_speaker_gets_the_next_wider():
    z, votes, _, who, groups = cultures([60, 60, 20], [1.5, 2.0, 1.2])
    who = [w if g != "culture2" else "lone" for w, g in zip(who, groups, strict=True)]
    for kind in ("group", "shrunk"):
        report = crossfit_temperature(z, votes, who, groups, kind=kind)
        assert [g.wider for g in report.groups] == [0, 0, 20]
        assert report.overall.wider == 20
        fold, names = disjoint_folds(who, seed=0), np.array(groups)
        train = fold != fold[-1]
        fits = {}
        for name in ("all", "culture0", "culture1"):
            at = train & ((names == name) | (name == "all"))
            fits[name] = fit_temperature(z[at], votes[at], [who[i] for i in np.flatnonzero(at)])
        own = [fits["culture0"], fits["culture1"]]
        mean = random_effects(
            np.log([f.value for f in own]), np.array([f.log_error for f in own])
        ).mean
        wanted = fits["all"].value if kind == "group" else math.exp(mean)
        assert report.groups[2].applied == pytest.approx(wanted, rel=1e-9)
    assert crossfit_temperature(z, votes, who, groups, kind="pooled").overall.wider == 0


def test_training_votes_of_one_class():
    """Every vote is the model's first choice: T would fall without bound, and 1 stays."""
    z = np.log([[0.8, 0.2]] * 6)
    report = crossfit_temperature(z, np.array([[3, 0]] * 6), list("aabbcc"), kind="shrunk")
    assert (report.overall.applied, report.overall.wider) == (1, 6)
    assert report.overall.nll_after == report.overall.nll_before
    assert "below" in report.overall.fitted.reason


def test_no_variation_no_temperature():
    report = crossfit_temperature(np.zeros((4, 2)), np.array([[1, 1]] * 4), list("aabb"))
    assert (report.overall.applied, report.overall.wider) == (1, 4)
    assert report.overall.nll_after == pytest.approx(math.log(2), abs=1e-12)


def test_one_speaker_is_not_scaled():
    z, votes, _ = world(20, 2.0)
    report = crossfit_temperature(z, votes, ["ann"] * 20)
    assert (report.folds, report.overall.applied, report.overall.wider) == (0, 1, 0)
    assert report.overall.gap_after == report.overall.gap_before
    assert report.overall.fitted.value is not None


def test_one_group_and_none():
    z, votes, _ = world(60, 2.0)
    who = [i % 6 for i in range(60)]
    shrunk = crossfit_temperature(z, votes, who)
    assert shrunk == crossfit_temperature(z, votes, who, kind="shrunk")
    alone = crossfit_temperature(z, votes, who, ["A"] * 60, kind="group")
    assert shrunk.overall.applied == pytest.approx(alone.overall.applied, rel=1e-9)
    assert [g.group for g in alone.groups] == ["A"]
    nothing = np.zeros((0, 2))
    assert crossfit_temperature(nothing, nothing.astype(int), []) is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda z, v: fit_temperature(z, v[:, :1]), "same items and labels"),
        (lambda z, v: fit_temperature(np.full((2, 2), -np.inf), v), "must be finite"),
        (lambda z, v: fit_temperature(z, v * 0), "no vote"),
        (lambda z, v: fit_temperature(z, v, ["a"]), "1 clusters for 2 items"),
        (lambda z, v: crossfit_temperature(z, v, ["a"]), "1 clusters for 2 items"),
        (lambda z, v: crossfit_temperature(z, v, ["a", "b"], ["A"]), "1 clusters for 2 items"),
        (lambda z, v: crossfit_temperature(z, v, ["a", "b"], kind="best"), "no kind"),
        (lambda z, v: crossfit_temperature(z, v, ["a", "b"], folds=1), "folds is 1"),
        (lambda z, v: smoothed_log_shares(v, alpha=0), "alpha is 0"),
        (lambda z, v: smoothed_log_shares(v[:, :1]), r"\(N, C \+ 1\)"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(OptionError, match=says):
        call(np.log([[0.8, 0.2], [0.6, 0.4]]), np.array([[1, 1], [2, 0]]))
