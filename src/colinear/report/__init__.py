"""Pictures of a run: what was trained on, how the search went, what the winner looks like."""

from colinear.report.figures import write_figures
from colinear.report.page import write_comparison, write_report, write_try_it
from colinear.report.record import Recorder, record_run

__all__ = ["Recorder", "record_run", "write_comparison", "write_figures", "write_report", "write_try_it"]
__dir__ = __all__.copy
