"""Where rows come from: named datasets, feature files, image folders, and their splits, scaling and copies."""

from colinear.datasets.augment import Augmentation, AugmentedDataset, parse_augment
from colinear.datasets.base import ArrayDataset, Dataset, ImageShape, Progress, Split, fingerprint, split_tail
from colinear.datasets.cifar10 import Source, find_cifar10, load_cifar10
from colinear.datasets.features import Features, Scaling, fit_scaling
from colinear.datasets.folders import load_folder
from colinear.datasets.images import read_image
from colinear.datasets.labels import encode_labels, match_classes
from colinear.datasets.shards import load_shards
from colinear.datasets.sources import load_digits
from colinear.datasets.splits import open_dataset, open_split
from colinear.datasets.stratified import draw_shots, split_stratified
from colinear.datasets.tables import load_features, load_table

__all__ = [
    "ArrayDataset",
    "Augmentation",
    "AugmentedDataset",
    "Dataset",
    "Features",
    "ImageShape",
    "Progress",
    "Scaling",
    "Source",
    "Split",
    "draw_shots",
    "encode_labels",
    "find_cifar10",
    "fingerprint",
    "fit_scaling",
    "load_cifar10",
    "load_digits",
    "load_features",
    "load_folder",
    "load_shards",
    "load_table",
    "match_classes",
    "open_dataset",
    "open_split",
    "parse_augment",
    "read_image",
    "split_stratified",
    "split_tail",
]
__dir__ = __all__.copy
