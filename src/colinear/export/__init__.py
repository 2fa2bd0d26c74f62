"""Trained models for other programs: ONNX, scikit-learn, numpy, CSV."""

from colinear.export.formats import FORMATS, Exported, ExportError, export_model

__all__ = ["FORMATS", "ExportError", "Exported", "export_model"]
__dir__ = __all__.copy
