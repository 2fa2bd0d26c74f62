"""Hidden states of a frozen vision network of `transformers`, as features.

A file that names a network never loads it: it keeps the name, the revision and a digest, and the user names it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from colinear.checks import InputError, check_choice, check_count
from colinear.extractors.backbone import Backbone, open_backbone
from colinear.extractors.base import Extractor, RowKind, need_pictures
from colinear.texts import shorten

Pool = Literal["cls", "mean", "pooled"]
POOLS = get_args(Pool)
BATCH = 32  # pictures at a time on a processor, whose speed no longer grows; a GPU takes eight times as many
MOST_LAYERS = 1000
LONGEST_PLACE = 1000


@dataclass(frozen=True)
class Network(Extractor):
    """Pooled hidden states of pictures, prepared by the network's own image processor; grey ones as red, green, blue.

    place : a folder that `save_pretrained` wrote, or NAME[@REVISION] of a repository.
    pool : 'cls', the first token; 'mean', of the tokens that are patches, or of the places of a map; 'pooled', the
        network's own `pooler_output`.
    layers : numbers of transformers' `hidden_states`, 0 being the embeddings; several stand side by side. None: the
        network's output, `last_hidden_state`, which most networks normalise and hidden states are not.
    revision, digest : of the files that it was opened with.   half : whether they computed in float16.
    backbone : the open network; None where a file was read, until `open`.
    """

    place: str
    pool: str = "cls"
    layers: tuple[int, ...] = ()
    revision: str | None = None
    digest: str | None = None
    half: bool = False
    backbone: Backbone | None = field(default=None, repr=False, compare=False)

    kind: ClassVar[str] = "hf"
    packages: ClassVar[tuple[str, ...]] = ("colinear", "torch", "transformers")

    def __post_init__(self) -> None:
        if not isinstance(self.place, str) or not 0 < len(self.place) <= LONGEST_PLACE:
            raise InputError(f"a network must be named by 1 to {LONGEST_PLACE} characters.")
        known = (isinstance(one, str | None) for one in (self.revision, self.digest))
        if not all(known) or not isinstance(self.half, bool):
            raise InputError("a network has a revision and a digest, which are text, and half, which is true or false.")
        check_choice("pool", self.pool, POOLS)
        if not isinstance(self.layers, Sequence):
            raise InputError("layers must be a list of whole numbers.")
        for layer in self.layers:
            check_count("layers", layer, minimum=0, most=MOST_LAYERS)
        if len(set(self.layers)) < len(self.layers):
            raise InputError(f"layers must name each layer once; got {','.join(map(str, self.layers))}.")
        vars(self)["layers"] = tuple(self.layers)  # which JSON has as a list
        if self.layers and self.pool == "pooled":
            raise InputError("--pool pooled is of the network's output; --layers are of hidden states. Leave one out.")

    @property
    def name(self) -> str:
        return f"hf:{self.place}"

    def options(self) -> dict[str, Any]:
        names = ("place", "pool", "layers", "revision", "digest", "half")
        return {name: list(self.layers) if name == "layers" else getattr(self, name) for name in names}

    def open(self) -> Network:
        """With the network of that name. Raises `InputError` if there is none."""
        backbone = open_backbone(self.place, self.revision)
        return replace(self, backbone=backbone, revision=backbone.revision, digest=backbone.digest, half=backbone.half)

    def name_again(self, place: str) -> Network:
        """This one, which a file has, with the network of that name. Raises `InputError` if it is another."""
        backbone = open_backbone(place, self.revision if place == self.place else None)
        if backbone.digest != self.digest:
            raise InputError(
                f"the features are of another network than hf:{shorten(place)}, or of another revision of it: the "
                f"digest of its files is {backbone.digest}, not {shorten(self.digest)}."
            )
        return replace(self, backbone=backbone)

    def apart(self) -> list[Extractor]:
        return [replace(self, layers=(layer,)) for layer in self.layers] or [self]

    def together(self, rows: RowKind) -> int:
        return BATCH * 8 if self.half else BATCH

    def check(self, rows: RowKind) -> None:
        """Also tries a black picture where the network is open."""
        need_pictures(shorten(self.name), rows, 1, (1, 3))
        if self.backbone is not None:
            self.width(rows)

    def width(self, rows: RowKind) -> int:
        widths = self._widths
        if rows not in widths:
            widths[rows] = self.apply(torch.zeros(1, rows.n_inputs), rows, {}).shape[1]
        return widths[rows]

    @cached_property
    def _widths(self) -> dict[RowKind, int]:
        return {}

    def apply(self, rows: Tensor, kind: RowKind, tensors: Mapping[str, Tensor]) -> Tensor:
        if self.backbone is None:
            raise InputError(
                f"the features come from {shorten(self.name)}, which no file starts. Name it again with --with "
                f"{shorten(self.name)}, or give rows of features."
            )
        pictures = kind.pictures(rows).round().clamp_(0, 255).to(torch.uint8)
        coloured = pictures.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()
        return self.backbone.states(coloured.cpu().numpy(), self.pool, self.layers)
