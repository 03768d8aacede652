"""Results in the forms that others read: one module a format."""

from .eee import to_eee
from .hub import to_hub
from .latex import to_latex
from .rows import to_csv

FORMATS = ("eee", "hf", "csv", "latex")

__all__ = ["FORMATS", "to_csv", "to_eee", "to_hub", "to_latex"]
