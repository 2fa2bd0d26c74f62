"""A vision network of the `transformers` package, loaded for its hidden states: safetensors only, no code of the files.

The one module that imports transformers, and only where a user has named a network.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.texts import shorten, shown, shown_path

FILES = ("config.json", "preprocessor_config.json", "processor_config.json", "model*.safetensors*")
NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)  # of a repository


@dataclass(frozen=True, eq=False)
class Backbone:
    """The network in a folder, with its own image processor.

    folder : holds config.json, preprocessor_config.json and model.safetensors, or the shards of one and their index.
    revision : of the repository that it was downloaded from; None for the user's own folder.
    half : whether it computes in float16.     device : where it computes.
    """

    folder: Path
    revision: str | None
    half: bool
    device: torch.device

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the names and bytes of all that decides what it makes of a picture."""
        found = hashlib.sha256()
        for path in sorted({one for pattern in FILES for one in self.folder.glob(pattern) if one.is_file()}):
            found.update(f"\n{path.name} {path.stat().st_size}\n".encode())
            with open(path, "rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()[:16]

    @cached_property
    def _loaded(self) -> tuple[Any, Any, set[str]]:
        """The network, its image processor, and the names of weights that the files lack."""
        from transformers import AutoConfig, AutoImageProcessor, AutoModel

        common: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with _quiet(), _told(f"the network in {shown_path(self.folder)} cannot be loaded"):
            config = AutoConfig.from_pretrained(self.folder, **common)
            config._attn_implementation = None  # a file may name a kernel that would be downloaded and run
            # Pillow's even where torchvision is installed: resized pictures would depend on that
            processor = AutoImageProcessor.from_pretrained(self.folder, backend="pil", **common)
            model, info = AutoModel.from_pretrained(
                self.folder, config=config, use_safetensors=True, output_loading_info=True,
                dtype=torch.float16 if self.half else torch.float32, **common,
            )  # fmt: skip
        missing = set(info["missing_keys"])
        if hasattr(model, "vision_model"):  # beside a model of text, as CLIP's
            model = model.vision_model
            missing = {name for name in missing if name.startswith("vision_model.")}
        return model.eval().to(self.device), processor, missing

    def states(self, pictures: NDArray[np.uint8], pool: str, layers: tuple[int, ...]) -> Tensor:
        """Pooled states (b, width) float32 of pictures (b, height, width, 3): of each layer, side by side.

        layers : numbers of transformers' `hidden_states`; none for the network's output.
        Raises   `InputError` where the network has no such layers, tokens or weights, or fails.
        """
        model, processor, missing = self._loaded
        lacking = sorted(name for name in missing if pool == "pooled" or "pooler." not in name)
        if lacking:  # transformers draws them at random
            raise InputError(
                f"the network in {shown_path(self.folder)} has no weights for {shown(lacking[0])} and "
                f"{len(lacking) - 1} others. {'Try --pool cls.' if pool == 'pooled' else 'Get the whole network.'}"
            )
        with _told(f"the network in {shown_path(self.folder)} failed on pictures"), torch.inference_mode():
            batch = processor(images=list(pictures), return_tensors="pt", input_data_format="channels_last")
            pixels = batch["pixel_values"].to(self.device, model.dtype)
            output = model(pixel_values=pixels, output_hidden_states=bool(layers))
        if pool == "pooled":
            found = output.get("pooler_output")
            if found is None:
                raise InputError(f"the network in {shown_path(self.folder)} pools nothing. Try --pool mean.")
            return _plain(found.flatten(1))
        hidden = output["hidden_states"] if layers else ()
        if layers and (not hidden or max(layers) >= len(hidden)):
            raise InputError(
                f"the network in {shown_path(self.folder)} has layers 0 to {len(hidden or ()) - 1}; got --layers "
                f"{','.join(map(str, layers))}."
            )
        chosen = [hidden[layer] for layer in layers] or [output["last_hidden_state"]]
        return _plain(torch.cat([self._pool(one, pool, pixels.shape[2:]) for one in chosen], 1))

    def _pool(self, state: Tensor, pool: str, size: torch.Size) -> Tensor:
        """CLS token, or mean of patches, of states (b, tokens, width), or of a map (b, width, height, width)."""
        others = 0
        if state.ndim == 3:
            patch = getattr(self._loaded[0].config, "patch_size", None)
            sides = (patch, patch) if isinstance(patch, int) else patch
            if not sides:
                raise InputError(
                    f"the network in {shown_path(self.folder)} does not name its patches. Try --pool pooled."
                )
            grid = math.prod(pixels // int(side) for pixels, side in zip(size, sides, strict=True))
            others = max(0, state.shape[1] - grid)  # tokens that are no patches: CLS, registers
        if pool == "cls":
            if not others:
                raise InputError(f"the network in {shown_path(self.folder)} has no CLS token. Try --pool mean.")
            return state[:, 0]
        return state.flatten(2).mean(2) if state.ndim == 4 else state[:, others:].mean(1)


def open_backbone(place: str, revision: str | None) -> Backbone:
    """The network in a folder, or by the name NAME[@REVISION] that the Hugging Face hub, or its cache, knows.

    Of a repository only the settings and safetensors are downloaded, by huggingface_hub.
    Raises `InputError` if there is none, or if transformers is not installed.
    """
    try:
        import transformers  # noqa: F401
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError("hf: needs the transformers package: pip install 'colinear[embed]'.") from None

    half = torch.cuda.is_available()
    device = torch.device("cuda" if half else "cpu")
    if Path(place).expanduser().is_dir():
        return Backbone(Path(place).expanduser(), None, half, device)
    name, _, asked = place.partition("@")
    if not NAME.fullmatch(name):
        raise InputError(f"{shown(f'hf:{place}')} must be a folder, or the name of a repository; there is no folder.")
    with _told(f"{shown(f'hf:{place}')} is no folder, and no repository of that name was found"):
        folder = Path(snapshot_download(name, revision=asked or revision, allow_patterns=list(FILES)))
    return Backbone(folder, folder.name, half, device)


def _plain(states: Tensor) -> Tensor:
    return states.float().cpu().clone()  # made outside of inference mode


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Failures of another's code as an `InputError`."""
    try:
        yield
    except Exception as error:  # transformers raises anything, after the files
        reason = shorten(" ".join(str(error).split()) or "no reason given", 200)
        raise InputError(f"{what} ({type(error).__name__}: {reason}).") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and warnings of transformers; what they would warn of is looked at here."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
