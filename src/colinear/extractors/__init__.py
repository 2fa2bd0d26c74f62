"""From pictures, and other rows, to features: hog, patches, kernel features, networks, one's own functions."""

from colinear.extractors.base import Extractor, Fitted, RowKind
from colinear.extractors.custom import Custom, import_custom
from colinear.extractors.derived import ExtractedDataset
from colinear.extractors.hog import Hog
from colinear.extractors.kernel import Kernel
from colinear.extractors.names import open_extractor, parse_extractor, restore
from colinear.extractors.network import Network
from colinear.extractors.patches import Patches

__all__ = [
    "Custom",
    "ExtractedDataset",
    "Extractor",
    "Fitted",
    "Hog",
    "Kernel",
    "Network",
    "Patches",
    "RowKind",
    "import_custom",
    "open_extractor",
    "parse_extractor",
    "restore",
]
__dir__ = __all__.copy
