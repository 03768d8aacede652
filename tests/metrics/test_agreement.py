"""Agreement: values by hand and by other packages, the paradox, laws, gaps, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.errors import LabelSetError, OptionError
from voxemo_tasks.metrics.agreement import (
    agreement_weights,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac,
    krippendorff_alpha,
    rating_table,
)
from voxemo_tasks.metrics.intraclass import intraclass

NAN = np.nan
SCALE = range(1, 6)
LEVELS = ("nominal", "ordinal", "interval", "ratio")
WEIGHTS = ("nominal", "linear", "quadratic", "ordinal")

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C: 4 observers, 12 units.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T

# Shrout and Fleiss (1979), table 2: 6 targets, 4 judges.
SHROUT = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)


def likert(seed, units=60, raters=4, gaps=0.2):
    rng = np.random.default_rng(seed)
    true = rng.normal(3, 1, (units, 1))
    table = np.clip(np.round(true + rng.normal(0, 0.7, (units, raters))), 1, 5)
    table[rng.random(table.shape) < gaps] = NAN
    return table


def alpha_by_pairs(table, level):
    """Alpha as it is defined: mean difference within units over that of all values."""
    units = [row[~np.isnan(row)] for row in table]
    units = [u for u in units if len(u) > 1]
    pool = np.sort(np.concatenate(units))

    def rank(v):
        return (pool < v).sum() + (pool == v).sum() / 2

    def delta(a, b):
        if level == "nominal":
            return float(a != b)
        if level == "ordinal":
            return (rank(a) - rank(b)) ** 2
        if level == "interval":
            return (a - b) ** 2
        return ((a - b) / (a + b)) ** 2 if a + b else 0.0

    within = sum(
        delta(a, b) / (len(u) - 1) for u in units for i, a in enumerate(u)
        for j, b in enumerate(u) if i != j
    )  # fmt: skip
    across = sum(delta(a, b) for i, a in enumerate(pool) for j, b in enumerate(pool) if i != j)
    return 1 - (within / len(pool)) / (across / (len(pool) * (len(pool) - 1)))


def test_krippendorffs_own_example():
    got = {level: krippendorff_alpha(KRIPPENDORFF, level, seed=1) for level in LEVELS}
    published = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849, "ratio": 0.797}
    assert {level: round(a.value, 3) for level, a in got.items()} == published
    assert {(a.n_units, a.n_left_out, a.n_ratings) for a in got.values()} == {(11, 1, 40)}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alpha_is_the_ratio_of_mean_differences(level, seed):
    table = likert(seed, units=25)
    got = krippendorff_alpha(table, level, seed=1).value
    assert got == pytest.approx(alpha_by_pairs(table, level), abs=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_equals_the_package(level):
    package = pytest.importorskip("krippendorff")
    table = likert(4)
    assert krippendorff_alpha(table, level, seed=1).value == pytest.approx(
        package.alpha(table.T, level_of_measurement=level), abs=1e-12
    )


@pytest.mark.parametrize("weights", WEIGHTS)
def test_gwet_and_fleiss_equal_the_package(weights):
    raw = pytest.importorskip("irrCAC.raw")
    pandas = pytest.importorskip("pandas")
    table = likert(5)
    name = "identity" if weights == "nominal" else weights
    package = raw.CAC(pandas.DataFrame(table), weights=name, categories=list(SCALE), digits=12)
    ac = package.gwet()["est"]["coefficient_value"]
    kappa = package.fleiss()["est"]["coefficient_value"]
    assert gwet_ac(table, SCALE, weights, seed=1).value == pytest.approx(ac, abs=1e-10)
    assert fleiss_kappa(table, SCALE, weights, seed=1).value == pytest.approx(kappa, abs=1e-10)


def test_kappas_equal_statsmodels():
    rater = pytest.importorskip("statsmodels.stats.inter_rater")
    table = likert(6, gaps=0)
    counts = rater.aggregate_raters(table.astype(int))[0]
    assert fleiss_kappa(table, SCALE, seed=1).value == pytest.approx(
        rater.fleiss_kappa(counts), abs=1e-12
    )
    joint = rater.to_table(table[:, :2].astype(int), bins=np.arange(0.5, 6))[0]
    for weights, wt in (("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")):
        assert cohen_kappa(table[:, :2], SCALE, weights, seed=1).value == pytest.approx(
            rater.cohens_kappa(joint, wt=wt).kappa, abs=1e-12
        )


def test_intraclass_equals_pingouin():
    pingouin = pytest.importorskip("pingouin")
    pandas = pytest.importorskip("pandas")
    table = likert(7, gaps=0)
    rows = [(i, j, v) for i, row in enumerate(table) for j, v in enumerate(row)]
    frame = pandas.DataFrame(rows, columns=["unit", "rater", "score"])
    package = pingouin.intraclass_corr(frame, "unit", "rater", "score")["ICC"].to_numpy()
    mine = [
        intraclass(table, model=m, average=a, seed=1).value
        for a in (False, True)
        for m in (1, 2, 3)
    ]
    assert mine == pytest.approx(package, abs=1e-10)


def test_intraclass_of_shrout_and_fleiss():
    single = [round(intraclass(SHROUT, model=m, seed=1).value, 2) for m in (1, 2, 3)]
    average = [round(intraclass(SHROUT, model=m, average=True, seed=1).value, 2) for m in (1, 2, 3)]
    assert (single, average) == ([0.17, 0.29, 0.71], [0.44, 0.62, 0.91])


def test_a_stricter_rater_costs_model_two_and_not_model_three():
    table = SHROUT.astype(float)
    harsh = table - np.array([0, 3, 0, 0])
    assert intraclass(harsh, model=3, seed=1).value == pytest.approx(
        intraclass(table, model=3, seed=1).value, abs=1e-12
    )
    assert intraclass(harsh, model=2, seed=1).value < intraclass(table, model=2, seed=1).value


def test_the_prevalence_paradox_of_the_docstring():
    pairs = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [6, 35, 34, 925], axis=0).astype(float)
    ac = gwet_ac(pairs, (0, 1), seed=1)
    kappa = cohen_kappa(pairs, (0, 1), seed=1)
    alpha = krippendorff_alpha(pairs, seed=1)
    assert [round(v, 3) for v in (ac.raw, kappa.value, alpha.value, ac.value)] == [
        0.931,
        0.112,
        0.113,
        0.925,
    ]


def test_a_category_that_nobody_chose_counts_for_gwet_only():
    table = likert(8, gaps=0)
    few, many = range(1, 6), range(1, 8)
    assert gwet_ac(table, few, seed=1).value != gwet_ac(table, many, seed=1).value
    # pe = (1 - sum pi^2) / (q - 1): by hand
    shares = np.array([(table == c).mean() for c in few])
    pa = np.mean([(table[:, a] == table[:, b]).mean() for a in range(4) for b in range(a)])
    pe = (1 - (shares**2).sum()) / 6
    assert gwet_ac(table, many, seed=1).value == pytest.approx((pa - pe) / (1 - pe), abs=1e-12)
    assert fleiss_kappa(table, few, seed=1).value == pytest.approx(
        fleiss_kappa(table, many, seed=1).value, abs=1e-12
    )


def every(table, seed=1):
    table = np.asarray(table, dtype=float)
    yield from (krippendorff_alpha(table, level, seed=seed) for level in LEVELS)
    for weights in WEIGHTS:
        yield gwet_ac(table, SCALE, weights, seed=seed)
        yield fleiss_kappa(table, SCALE, weights, seed=seed)
        yield cohen_kappa(table[:, :2], SCALE, weights, seed=seed)


tables = st.integers(0, 10**6).map(lambda s: likert(s, units=12, raters=3, gaps=0.15))


@given(table=tables, seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_order_of_units_and_raters_does_not_matter(table, seed):
    rng = np.random.default_rng(seed)
    moved = table[rng.permutation(len(table))]
    moved[:, :2] = moved[:, 1::-1]  # the two that Cohen compares stay the two
    for a, b in zip(every(table), every(moved), strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-9)
        assert a.raw == pytest.approx(b.raw, abs=1e-12)


@given(table=tables)
@settings(max_examples=25, deadline=None)
def test_at_most_one_and_one_for_agreement(table):
    for a in every(table):
        assert a.value is None or -1 - 1e-9 <= a.value <= 1
    same = np.where(np.isnan(table), NAN, table[:, :1])
    same[np.isnan(table[:, 0])] = NAN
    same[:2] = [[1, 1, 1], [2, 2, 2]]
    for a in every(same):
        assert a.value == pytest.approx(1.0, abs=1e-9)
        assert a.raw == 1.0


def test_alpha_nominal_ignores_what_the_values_are():
    table = likert(9)
    other = np.select([table == c for c in SCALE], [40, 7, 3, 900, 1], default=NAN)
    assert krippendorff_alpha(other, seed=1).value == pytest.approx(
        krippendorff_alpha(table, seed=1).value, abs=1e-12
    )


def test_alpha_interval_ignores_origin_and_unit():
    table = likert(10)
    assert krippendorff_alpha(1e6 + 3 * table, "interval", seed=1).value == pytest.approx(
        krippendorff_alpha(table, "interval", seed=1).value, abs=1e-9
    )


def test_chance_gives_zero():
    """Independent ratings: every coefficient lies within 4.5 standard errors of 0."""
    rng = np.random.default_rng(11)
    table = rng.choice(5, size=(4000, 3), p=[0.4, 0.3, 0.15, 0.1, 0.05]) + 1.0
    for a in (krippendorff_alpha(table, "ordinal", seed=1), fleiss_kappa(table, SCALE, seed=1)):
        error = (a.interval.high - a.interval.low) / 3.92
        assert abs(a.value) < 4.5 * error < 0.1


def test_the_interval_redraws_units():
    table = likert(12, units=50, gaps=0)
    got = cohen_kappa(table[:, :2], SCALE, replicates=400, seed=3)
    rng = np.random.default_rng(3)
    drawn = [
        cohen_kappa(table[picks][:, :2], SCALE, replicates=100, seed=1).value
        for picks in rng.integers(50, size=(400, 50))
    ]
    assert got.interval.low == pytest.approx(np.quantile(drawn, 0.025), abs=1e-9)
    assert got.interval.high == pytest.approx(np.quantile(drawn, 0.975), abs=1e-9)


def test_clusters_are_redrawn_whole():
    """Ten copies of each unit, one cluster each: as wide as the units alone."""
    table = likert(13, units=40)
    alone = gwet_ac(table, SCALE, seed=2)
    names = [f"s{i:02}" for i in range(40)]
    copied = gwet_ac(np.repeat(table, 10, axis=0), SCALE, clusters=np.repeat(names, 10), seed=2)
    assert copied.value == pytest.approx(alone.value, abs=1e-12)
    assert copied.interval.low == pytest.approx(alone.interval.low, abs=1e-9)
    assert copied.interval.n_clusters == 40
    naive = gwet_ac(np.repeat(table, 10, axis=0), SCALE, seed=2).interval
    assert naive.high - naive.low < 0.5 * (alone.interval.high - alone.interval.low)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (np.empty((0, 2)), "no unit has two ratings"),
        ([[1, NAN], [NAN, 2]], "no unit has two ratings"),
        ([[3, 3], [3, 3], [3, 3]], "all ratings are alike"),
    ],
)
def test_no_value_and_why(table, says):
    table = np.asarray(table, dtype=float)
    for level in LEVELS:
        a = krippendorff_alpha(table, level, seed=1)
        assert a.value is None
        assert says in a.reason
        assert a.interval.low is None
    assert says in fleiss_kappa(table, SCALE, seed=1).reason


def test_one_category_is_perfect_for_gwet_and_nothing_for_cohen():
    table = np.full((5, 2), 3.0)
    assert gwet_ac(table, SCALE, seed=1).value == 1.0
    kappa = cohen_kappa(table, SCALE, seed=1)
    assert (kappa.value, kappa.raw) == (None, 1.0)
    assert "one and the same category" in kappa.reason


def test_one_unit_has_a_value_and_no_interval():
    a = krippendorff_alpha(np.array([[1.0, 2.0, 2.0]]), seed=1)
    assert a.value == pytest.approx(0.0, abs=1e-12)  # within and across are the same pairs
    assert a.interval.low is None


@pytest.mark.parametrize("model", [1, 2, 3])
@pytest.mark.parametrize("average", [False, True])
def test_intraclass_without_a_value(model, average):
    none = intraclass(np.full((4, 3), 0.1), model=model, average=average, seed=1)
    assert (none.value, none.reason) == (None, "the ratings do not vary")
    few = intraclass(np.array([[1.0, 2.0], [NAN, 3.0]]), model=model, average=average, seed=1)
    assert (few.value, few.n_units, few.n_left_out) == (None, 1, 1)
    perfect = np.repeat(np.arange(5.0)[:, None] / 3, 3, axis=1)
    got = intraclass(perfect, model=model, average=average, seed=1)
    assert got.value == pytest.approx(1.0, abs=1e-12)


def test_labels_become_ratings():
    table = rating_table([["sad", None], ["angry", "sad"]], ("angry", "sad"))
    assert table.tolist()[1] == [0.0, 1.0]
    assert np.isnan(table[0, 1])
    assert rating_table([], ("angry", "sad")).shape == (0, 0)
    with pytest.raises(LabelSetError, match="'joy'"):
        rating_table([["joy"]], ("angry", "sad"))
    with pytest.raises(LabelSetError, match=r"\[1, 2\] ratings"):
        rating_table([["sad"], ["sad", "sad"]], ("angry", "sad"))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t: krippendorff_alpha(t, "cardinal", seed=1), "level of measurement"),
        (lambda t: krippendorff_alpha(-t, "ratio", seed=1), "starts at zero"),
        (lambda t: krippendorff_alpha(t[0], seed=1), "(units, raters)"),
        (lambda t: krippendorff_alpha(t / 0, seed=1), "infinity"),
        (lambda t: krippendorff_alpha(np.arange(204.0).reshape(102, 2), seed=1), "204 distinct"),
        (lambda t: gwet_ac(t, (1, 2), seed=1), "1 ratings are none of the categories"),
        (lambda t: gwet_ac(t, (3, 2, 1), seed=1), "increasing order"),
        (lambda t: gwet_ac(t, (1,), seed=1), "increasing order"),
        (lambda t: gwet_ac(t, (1, 2, 3), "cubic", seed=1), "no weights are called"),
        (lambda t: cohen_kappa(t[:, [0, 1, 0]], (1, 2, 3), seed=1), "compares two raters"),
        (lambda t: gwet_ac(t, (1, 2, 3), clusters=["s1"], seed=1), "1 clusters for 2 items"),
        (lambda t: intraclass(t, model=4, seed=1), "allowed: 1, 2, 3"),
        (lambda t: intraclass(t[:, :1], model=1, seed=1), "two raters or more"),
        (lambda t: intraclass(t / 0, model=1, seed=1), "infinity"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_refused(call, says):
    with pytest.raises(OptionError) as caught:
        call(np.array([[1.0, 2.0], [2.0, 3.0]]))
    assert says in str(caught.value)


def test_ordinal_weights_are_gwets():
    w = agreement_weights((1, 2, 3, 4), "ordinal")
    assert w[0] == pytest.approx([1, 1 - 1 / 6, 1 - 3 / 6, 0])
