"""Corpora: facts of each (``cards/``), readers, and manifests of local copies.

Nothing is downloaded. ``prepare`` reads a local copy once and writes a Parquet manifest; everything
else works from that manifest. Labels in it are the corpus's own, under canonical names; merging
belongs to label sets.
"""

from __future__ import annotations

from .check import CheckReport, check
from .expect import Difference, expect
from .manifest import COLUMNS, Facts, Manifest, load_manifest
from .prepare import PrepareReport, prepare
from .readers import Problem
from .registered import Prepared, prepared, prepared_ids

__all__ = [
    "COLUMNS",
    "CheckReport",
    "Difference",
    "Facts",
    "Manifest",
    "PrepareReport",
    "Prepared",
    "Problem",
    "check",
    "expect",
    "load_manifest",
    "prepare",
    "prepared",
    "prepared_ids",
]
