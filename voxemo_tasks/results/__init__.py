"""From a run folder to numbers: the results JSON and its table."""

from .model import Results
from .score import score_run
from .table import table_of
from .writing import read_results, write_results

__all__ = ["Results", "read_results", "score_run", "table_of", "write_results"]
