"""Tiny vision networks with random weights, written into folders as `save_pretrained` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}


def _vit() -> tuple[Any, Any]:
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    return ViTModel(ViTConfig(intermediate_size=48, **SMALL)), ViTImageProcessorPil(size={"height": 32, "width": 32})


def _dinov2() -> tuple[Any, Any]:
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    sizes = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    return Dinov2Model(Dinov2Config(mlp_ratio=2, **SMALL)), BitImageProcessorPil(**sizes)


def _registers() -> tuple[Any, Any]:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(mlp_ratio=2, num_register_tokens=4, **SMALL)), _dinov2()[
        1
    ]


def _clip() -> tuple[Any, Any]:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    words = {"vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    text = {"hidden_size": 16, "num_attention_heads": 2, **words}
    config = CLIPConfig(text_config=text, vision_config={"intermediate_size": 48, **SMALL}, projection_dim=8)
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return CLIPModel(config), CLIPImageProcessorPil(**sizes)


def _convnext() -> tuple[Any, Any]:
    from transformers import ConvNextConfig, ConvNextImageProcessorPil, ConvNextModel

    config = ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 1], num_stages=2)
    return ConvNextModel(config), ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=1.0)


NETWORKS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "vit": _vit, "dinov2": _dinov2, "registers": _registers, "clip": _clip, "convnext": _convnext
}  # fmt: skip


def write_network(kind: str, folder: Path, seed: int = 0) -> Path:
    """A network of `NETWORKS` in a folder."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = NETWORKS[kind]()
        for parameter in model.parameters():  # some begin as zeros, and all too small for a test to see
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
