"""Floors: the fit against its likelihood, the crowd by hand, and the tables measured before."""

from __future__ import annotations

import csv
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import dirichlet_multinomial

from voxemo_tasks.corpora.smoothing import unsmooth
from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.metrics import floors, soft
from voxemo_tasks.metrics.floors import (
    CONCENTRATIONS,
    baselines,
    fit_dirichlet,
    loo_crowd,
    oracle_floor,
    permuted,
    prior_prediction,
    split_half,
    uniform_prediction,
)
from voxemo_tasks.metrics.soft_scores import SOFT_METRICS, soft_value
from voxemo_tasks.metrics.votes import Predicted, Votes


def drawn(n=400, alpha=(1.0, 0.6, 0.3), k=(1, 8), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(alpha, size=n)
    return Votes(rng.multinomial(rng.integers(*k, size=n), truth)), truth


# ---------------------------------------------------------------- the fit


def test_the_fit_maximises_the_likelihood():
    votes, _ = drawn()
    fit = fit_dirichlet(votes)

    def loss(logs):
        return -dirichlet_multinomial.logpmf(votes.counts, np.exp(logs), votes.k).sum()

    best = minimize(loss, np.zeros(3), method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-7})
    assert fit.converged
    assert loss(np.log(fit.alpha)) <= best.fun + 1e-6
    assert fit.alpha == pytest.approx(np.exp(best.x), rel=1e-3)


def test_the_fit_finds_what_the_votes_were_drawn_from():
    votes, _ = drawn(n=20_000, k=(5, 12), seed=1)
    # Standard errors from the spread of ten such fits are about 1 %.
    assert fit_dirichlet(votes).alpha == pytest.approx([1.0, 0.6, 0.3], rel=0.05)


def test_a_label_without_votes_has_parameter_zero():
    votes, _ = drawn(n=60)
    wide = Votes(np.insert(votes.counts, 1, 0, axis=1))
    fit = fit_dirichlet(wide)
    assert fit.alpha[1] == 0
    assert fit.alpha[[0, 2, 3]] == pytest.approx(fit_dirichlet(votes).alpha, rel=1e-6)
    floor = oracle_floor(wide, fit, m=4, draws=2, seed=1)
    assert floor["jsd"].value > 0
    assert loo_crowd(wide, fit)["cross_entropy"].n == 60


def test_lone_votes_have_no_concentration():
    votes = Votes(np.array([[1, 0], [0, 1], [1, 0], [1, 0]]))
    fit = fit_dirichlet(votes)
    assert (fit.prior.tolist(), fit.concentration, fit.alpha) == ([0.75, 0.25], None, None)
    floor = oracle_floor(votes, fit, m=5, seed=1)
    assert set(floor) == set(SOFT_METRICS)
    assert all((f.value, f.standard_error, f.draws) == (None, None, 0) for f in floor.values())
    # Left with the prior: 1 - 2 q_c + 10/16.
    expected = [1.625 - 1.5, 1.625 - 0.5, 1.625 - 1.5, 1.625 - 1.5]
    assert loo_crowd(votes, fit)["vote_brier"].values == pytest.approx(expected, abs=1e-12)
    assert loo_crowd(votes, None)["vote_brier"].n == 0
    assert split_half(votes, seed=1)["jsd"].value is None


def test_a_fit_without_a_maximum_is_held_at_its_bound():
    unanimous = fit_dirichlet(Votes(np.array([[5, 0], [0, 5], [5, 0]])))
    assert (unanimous.concentration, unanimous.at_bound) == (CONCENTRATIONS[0], True)
    assert unanimous.prior == pytest.approx([2 / 3, 1 / 3], abs=0.01)
    alike = fit_dirichlet(Votes(np.array([[2, 2], [2, 2], [3, 3]])), iterations=10**6)
    assert (alike.concentration, alike.at_bound) == (CONCENTRATIONS[1], True)
    one_label = fit_dirichlet(Votes(np.array([[3, 0], [2, 0]])))
    assert one_label.prior.tolist() == [1.0, 0.0]


def test_too_few_steps_are_said():
    votes, _ = drawn(n=50)
    fit = fit_dirichlet(votes, iterations=2)
    assert (fit.converged, fit.iterations) == (False, 2)


# ---------------------------------------------------------------- the crowd


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_loo_crowd_is_the_loop_over_votes(data):
    c = data.draw(st.integers(2, 4))
    n = np.array(data.draw(st.lists(st.integers(0, 4), min_size=c, max_size=c)))
    n[0] += not n.any()
    alpha = np.array(data.draw(st.lists(st.floats(0.05, 3), min_size=c, max_size=c)))
    fit = floors.DirichletFit(alpha / alpha.sum(), float(alpha.sum()), 1, True)
    brier, surprise = [], []
    for label in np.repeat(np.arange(c), n):
        others = n - np.eye(c, dtype=int)[label]
        q = (others + alpha) / (others + alpha).sum()
        brier.append(((np.eye(c)[label] - q) ** 2).sum())
        surprise.append(-np.log2(q[label]))
    got = loo_crowd(Votes(n[None]), fit)
    assert got["vote_brier"].mean == pytest.approx(np.mean(brier), abs=1e-9)
    assert got["cross_entropy"].mean == pytest.approx(np.mean(surprise), abs=1e-9)


def test_halves_are_drawn_without_replacement():
    counts = np.tile([[3, 2, 0]], (20_000, 1))
    half = floors._half(counts, np.random.default_rng(1))
    assert (half.sum(axis=1) == 2).all()
    assert (half <= counts).all()
    # Hypergeometric: 2 of 5, of which 3 for the first label; P(both) = 3/10, SE 0.003.
    assert (half[:, 0] == 2).mean() == pytest.approx(0.3, abs=0.013)
    assert half[:, 0].mean() == pytest.approx(1.2, abs=0.017)


def test_split_half_leaves_out_lone_votes_and_sees_agreement():
    votes = Votes(np.array([[6, 0], [0, 4], [1, 0]]))
    got = split_half(votes, draws=3, seed=1)
    assert (got["jsd"].value, got["jsd"].standard_error, got["jsd"].draws) == (0.0, 0.0, 3)
    assert got["set_macro_f1"].value == 1.0
    assert got["entropy_correlation"].value is None


# ---------------------------------------------------------------- the oracle


def test_an_oracle_has_no_distance_and_all_the_skill():
    votes, _ = drawn(n=4000, k=(2, 6), seed=2)
    fit = fit_dirichlet(votes)
    for m in (None, 5, votes.k):
        floor = oracle_floor(votes, fit, m=m, draws=10, seed=1)
        for metric, best in (("l2u", 0.0), ("brier_skill_unbiased", 1.0)):
            got = floor[metric]
            assert abs(got.value - best) <= 5 * got.standard_error
            assert got.standard_error < 0.01
    assert floor["brier_skill"].value < 0.9  # few generations cost, however good they are


def test_the_floor_sinks_with_votes_and_generations():
    votes, _ = drawn(n=3000, k=(3, 4), seed=3)
    fit = fit_dirichlet(votes)

    def jsd(m, k=None):
        return oracle_floor(votes, fit, m=m, k=k, draws=2, seed=1, metrics=["jsd"])["jsd"].value

    values = [jsd(1), jsd(3), jsd(10), jsd(None), jsd(None, 10), jsd(None, 1000)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.001
    assert jsd(5) == jsd(np.full(len(votes), 5)) == jsd(5, votes.k)


# ---------------------------------------------------------------- baselines


def test_baselines():
    votes, truth = drawn(n=300, k=(3, 6), seed=4)
    rng = np.random.default_rng(1)
    said = Predicted("sampling", counts=rng.multinomial(8, np.c_[truth * 0.9, np.full(300, 0.1)]))
    found = baselines(votes, said, draws=5, seed=2)
    assert list(found) == ["prior", "uniform", "permuted"]
    assert found["prior"]["brier_skill"].value == pytest.approx(0, abs=1e-12)
    assert found["prior"]["brier_skill"].draws == 1
    assert found["uniform"]["brier_skill"].value < 0
    assert found["prior"]["entropy_correlation"].value is None
    # The right entropies on the wrong items: no correlation beyond chance (SE 0.06, five draws).
    assert abs(found["permuted"]["entropy_correlation"].value) < 0.12
    assert found["permuted"]["tvd"].value > soft_value("tvd", votes, said).value + 0.1


def test_a_permutation_keeps_the_predictions():
    said = Predicted("sampling", counts=np.arange(1, 31).reshape(10, 3))
    other = permuted(said, np.random.default_rng(1))
    assert sorted(other.counts.tolist()) == said.counts.tolist() != other.counts.tolist()
    votes = Votes(np.array([[1, 1], [3, 0]]))
    assert uniform_prediction(votes).shares.tolist() == [[0.5, 0.5, 0.0]] * 2
    assert prior_prediction(votes).shares.tolist() == [[0.75, 0.25, 0.0]] * 2


def test_the_seed_decides():
    votes, _ = drawn(n=50)
    fit = fit_dirichlet(votes)
    for floor in (
        lambda seed: oracle_floor(votes, fit, m=3, draws=2, seed=seed),
        lambda seed: split_half(votes, draws=2, seed=seed),
        lambda seed: baselines(votes, prior_prediction(votes), draws=2, seed=seed),
    ):
        assert floor(1) == floor(1)
    assert oracle_floor(votes, fit, m=3, seed=1) != oracle_floor(votes, fit, m=3, seed=2)


def test_refusals():
    votes, _ = drawn(n=10)
    fit = fit_dirichlet(votes)
    with pytest.raises(OptionError, match="m is 0"):
        oracle_floor(votes, fit, m=0, seed=1)
    with pytest.raises(OptionError, match="k is "):
        oracle_floor(votes, fit, m=1, k=np.ones(3, dtype=int), seed=1)
    with pytest.raises(OptionError, match="draws is 0"):
        oracle_floor(votes, fit, m=1, draws=0, seed=1)
    with pytest.raises(UnknownNameError, match="no soft metric is called 'jds'"):
        split_half(votes, seed=1, metrics=["jds"])
    with pytest.raises(OptionError, match="at least one step"):
        fit_dirichlet(votes, iterations=0)
    other = fit_dirichlet(Votes(np.array([[1, 1]])))
    with pytest.raises(OptionError, match="the fit has 2 labels and the votes have 3"):
        oracle_floor(votes, other, m=1, seed=1)
    with pytest.raises(OptionError, match="the fit has 2 labels and the votes have 3"):
        loo_crowd(votes, other)


# ---------------------------------------------------------------- real votes

CORPORA = {  # folder, labels, and the least number of annotators of an utterance
    "cremad": ("CREMA-D/Primary", 6, 7),
    "iemocap": ("IEMOCAP/Secondary", 9, 3),
    "improv": ("IMPROV/Primary", 4, 5),
}


@pytest.fixture(scope="module")
def real(shared):
    """Votes behind the smoothed tables: the fewest annotators that give the proportions."""

    def read(name):
        folder, c, least = CORPORA[name]
        path = shared / "data" / "emosuperb" / folder / "labels_consensus_1.csv"
        if not path.is_file():
            pytest.skip(f"no vote distributions: {path} is not there")
        rows = []
        with path.open(newline="") as file:
            for row in list(csv.reader(file))[1:]:
                p = np.array(unsmooth([float(x) for x in row[1 : 1 + c]]))
                for k in range(least, 80):
                    n = np.rint(p * k)
                    if n.sum() == k and np.abs(n / k - p).max() < 2e-4:
                        rows.append(n.astype(int))
                        break
                else:
                    raise AssertionError(f"{path}: {row} is no share of less than 80 votes")
        votes = Votes(np.array(rows))
        return votes, fit_dirichlet(votes)

    return functools.cache(read)


@pytest.mark.parametrize(
    ("name", "prior", "raw", "dirichlet", "irreducible", "skill"),
    [
        ("cremad", 0.741, 0.607, 0.593, 0.545, 0.76),
        ("iemocap", 0.830, 0.845, 0.713, 0.586, 0.48),
        ("improv", 0.686, 0.373, 0.365, 0.310, 0.85),
    ],
)
def test_the_crowd_on_real_votes(real, name, prior, raw, dirichlet, irreducible, skill):
    votes, fit = real(name)
    pooled = votes.counts.sum(axis=0) / votes.counts.sum()
    shares = np.tile(np.append(pooled, 0.0), (len(votes), 1))
    measured = soft.vote_brier(votes, Predicted("replayed", shares=shares)).mean
    crowd = loo_crowd(votes, fit)["vote_brier"].mean
    least = soft.brier_irreducible(votes).mean
    # Nothing here is drawn, so the printed digits are what differs.
    assert measured == pytest.approx(prior, abs=6e-4)
    assert loo_crowd(votes, None)["vote_brier"].mean == pytest.approx(raw, abs=6e-4)
    assert crowd == pytest.approx(dirichlet, abs=6e-4)
    assert least == pytest.approx(irreducible, abs=6e-4)
    assert (measured - crowd) / (measured - least) == pytest.approx(skill, abs=8e-3)


@pytest.mark.parametrize(
    ("name", "k", "jsd", "tvd", "bc", "f1", "crowd"),
    [
        ("cremad", 10, 0.075, 0.190, 0.935, 0.799, 0.732),
        ("cremad", 5, 0.135, 0.266, 0.878, 0.731, 0.686),
        ("cremad", 3, 0.200, 0.340, 0.818, 0.699, 0.599),
        ("iemocap", 3, 0.210, 0.352, 0.807, 0.689, 0.580),
        ("improv", 5, 0.062, 0.154, 0.945, 0.865, 0.811),
    ],
)
def test_oracle_floors_on_real_votes(real, name, k, jsd, tvd, bc, f1, crowd):
    votes, fit = real(name)
    metrics = ["jsd", "tvd", "bhattacharyya", "set_macro_f1"]
    got = oracle_floor(votes, fit, m=None, k=k, draws=4, seed=1, metrics=metrics)
    # A simulation of this size has a standard error of 0.0005 (F1: 0.002) on either side.
    assert got["jsd"].value == pytest.approx(jsd, abs=3e-3)
    assert got["tvd"].value == pytest.approx(tvd, abs=4e-3)
    assert got["bhattacharyya"].value == pytest.approx(bc, abs=3e-3)
    assert got["set_macro_f1"].value == pytest.approx(f1, abs=8e-3)
    other = oracle_floor(votes, fit, m=k, k=k, draws=4, seed=2, metrics=["set_macro_f1"])
    assert other["set_macro_f1"].value == pytest.approx(crowd, abs=8e-3)


@pytest.mark.parametrize(
    ("k", "m", "jsd"), [(10, 5, 0.174), (10, 10, 0.126), (10, 20, 0.100), (3, 10, 0.231)]
)
def test_a_perfect_sampler_on_real_votes(real, k, m, jsd):
    votes, fit = real("cremad")
    got = oracle_floor(votes, fit, m=m, k=k, draws=4, seed=1, metrics=["jsd"])
    assert got["jsd"].value == pytest.approx(jsd, abs=3e-3)


@pytest.mark.parametrize(
    ("name", "k", "kl", "prior"),
    [
        ("cremad", 10, 0.272, 0.275),
        ("cremad", 3, 0.731, 0.396),
        ("iemocap", 3, 0.772, 0.495),
        ("improv", 5, 0.227, 0.347),
    ],
)
def test_divergence_of_the_oracle_and_of_the_prior_on_real_votes(real, name, k, kl, prior):
    votes, fit = real(name)
    rng = np.random.default_rng(1)
    truth = rng.standard_gamma(votes.counts + fit.alpha)
    truth /= truth.sum(axis=1, keepdims=True)
    fresh = Votes(rng.multinomial(k, truth))
    knows = Predicted("likelihood", shares=np.pad(truth, ((0, 0), (0, 1))))
    assert soft.kl(fresh, knows, epsilon=1e-9).mean == pytest.approx(kl, abs=0.02)
    constant = Predicted("replayed", shares=prior_prediction(votes).shares)
    assert soft.jsd(fresh, constant).mean == pytest.approx(prior, abs=5e-3)


def test_votes_of_a_crowd_sourced_corpus(shared):
    """The released votes of CREMA-D by ear, with the number of annotators that each had."""
    path = shared / "data" / "cremad" / "tabulatedVotes.csv"
    if not path.is_file():
        pytest.skip(f"no votes: {path} is not there")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[""].startswith("1")]
    votes = Votes(np.array([[int(row[c]) for c in "ADFHNS"] for row in rows]))
    assert len(votes) == 7442
    assert votes.k.tolist() == [int(row["numResponses"]) for row in rows]
    fit = fit_dirichlet(votes)
    prior = soft_value("vote_brier", votes, prior_prediction(votes)).value
    least = soft.brier_irreducible(votes).mean
    crowd = loo_crowd(votes, fit)["vote_brier"].mean
    assert (prior, crowd, least) == pytest.approx((0.741, 0.585, 0.535), abs=6e-4)
