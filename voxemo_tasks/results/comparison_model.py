"""The comparison JSON: what stands in it, as pydantic models; the JSON Schema is made from these.

As in the results: no NaN, rates are fractions, and a number that does not exist is ``null``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .model import Interval, Model, RandomEffects, RankStability


class ComparedRun(Model):
    """A run that was compared."""

    name: str = Field(description="What it is called here: its folder, as short as is unique.")
    run: str = Field(description="The run folder, for people; nothing depends on it.")
    model: dict[str, Any]
    fingerprint_sha256: str


class Utterances(Model):
    """Which utterances a comparison rests on."""

    asked: int = Field(description="Asked about in both runs: the same ones.")
    lost_first: int = Field(description="No reply, or engine or judge failed, in the first run.")
    lost_second: int = Field(description="The same in the second; one may be lost in both.")
    without_gold: int = Field(description="Without a gold label, of those that are not lost.")
    compared: int


class SignFlip(Model):
    """Cluster sign-flip test of no difference."""

    p_value: float | None
    method: str = Field(description="exact, random, or none where a rate does not exist.")
    n_differ: int = Field(description="Clusters (or utterances) on which the runs differ.")
    flips: int
    least: float = Field(description="The smallest p-value that the test could have given.")


class McNemar(Model):
    """McNemar's test: right against wrong, utterances taken for independent."""

    only_first: int = Field(description="Utterances that the first run alone got right.")
    only_second: int
    p_exact: float
    p_mid: float


class Equivalence(Model):
    """Two one-sided tests that the difference lies within plus or minus the margin."""

    p_value: float
    equivalent: bool
    margin: float
    low: float = Field(description="Of the interval of level 1 - 2 alpha.")
    high: float


class Difference(Model):
    """One rate of one task: the first run less the second."""

    task: str
    first: str
    second: str
    metric: str
    policy: Literal["strict", "answered"]
    family: Literal["primary", "secondary"]
    value_first: float | None
    value_second: float | None
    difference: float | None
    interval: Interval
    standard_error: float | None
    sign_flip: SignFlip
    p_adjusted: float | None = Field(description="Of the sign-flip test, over its family.")
    adjustment: Literal["holm", "benjamini_hochberg"]
    mcnemar: McNemar
    detectable: float | None = Field(
        description="Smallest difference that this design shows (80 % power at alpha)."
    )
    equivalence: Equivalence | None = Field(description="Null without a margin or an error.")
    utterances: Utterances
    n_clusters: int
    same_documents: bool = Field(
        description="Whether both runs have the documents of one digest; else ids, gold labels and "
        "label set were held against each other and are the same."
    )
    verbalizers: list[str] = Field(description="What read the replies of the first, the second.")


class Refused(Model):
    """A task that two runs cannot be compared on, and why."""

    task: str
    first: str
    second: str
    reason: str


class OverTasks(Model):
    """The difference of two runs over the corpora of one tier."""

    first: str
    second: str
    tier: str
    metric: str
    tasks: list[str]
    left_out: list[str] = Field(description="Tasks whose difference has no standard error above 0.")
    effects: RandomEffects | None
    reason: str | None = Field(description="Why there are no effects, or no prediction interval.")


class TaskRanks(Model):
    """Whether the runs keep their order (strict UAR) on a task when replies are read otherwise."""

    task: str
    n: int = Field(description="Utterances that all these runs have in common.")
    stability: RankStability | None
    reason: str | None


class Comparison(Model):
    """Runs compared two by two."""

    schema_: Literal["voxemo-comparison/1"] = Field(alias="schema")
    voxemo_tasks: str = Field(description="Version of the package that computed it.")
    created: str
    notice: str | None = Field(description="'synthetic, not a result' where that is so.")
    runs: list[ComparedRun]
    metrics: list[str] = Field(description="The first is that of the primary family.")
    policy: Literal["strict", "answered"]
    margin: float | None
    alpha: float
    replicates: int
    flips: int
    seed: int
    primary: list[str] = Field(description="Tasks of the primary family.")
    differences: list[Difference]
    refused: list[Refused]
    over_tasks: list[OverTasks]
    ranks: list[TaskRanks]
