"""Sample weights: a column or key that is no feature then, or a file beside the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from colinear.checks import InputError
from colinear.datasets import open_dataset, open_split
from colinear.datasets.base import sample_weights

ROWS, LABELS = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20) % 2
WEIGHTS = np.linspace(0, 1, 20)


def write_npz(path: Path) -> Path:
    np.savez(path / "rows.npz", X=ROWS, y=LABELS, w=WEIGHTS)
    return path / "rows.npz"


def write_torch(path: Path) -> Path:
    torch.save(
        {"X": torch.from_numpy(ROWS), "y": torch.from_numpy(LABELS), "w": torch.from_numpy(WEIGHTS)}, path / "r.pt"
    )
    return path / "r.pt"


def write_safetensors(path: Path) -> Path:
    parts = {"rows": ROWS, "y": LABELS, "w": WEIGHTS}  # features by being all that is left
    save_file({name: torch.from_numpy(part) for name, part in parts.items()}, path / "r.safetensors")
    return path / "r.safetensors"


def write_parquet(path: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {f"x{number}": ROWS[:, number] for number in range(3)}
    parquet.write_table(pyarrow.table({**columns, "label": LABELS, "w": WEIGHTS}), path / "r.parquet")
    return path / "r.parquet"


def write_npy(path: Path) -> Path:
    np.save(path / "X.npy", ROWS)
    np.save(path / "y.npy", LABELS)
    np.save(path / "w.npy", WEIGHTS.reshape(-1, 1))
    return path / "X.npy"


WRITERS = {
    "npz": write_npz, "torch": write_torch, "safetensors": write_safetensors, "parquet": write_parquet,
    "npy": write_npy,
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_weights_come_with_their_rows_through_a_split(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    name = "w.npy" if kind == "npy" else "w"
    split = open_split(path, weight=name)
    for part in (split.train, split.validation, split.test):
        assert part is not None
        assert part.n_features == 3
        numbers = part.take(slice(0, part.n_samples))[:, 0].numpy() / 3
        found = sample_weights(part)
        assert found is not None
        np.testing.assert_allclose(found.numpy(), WEIGHTS[numbers.astype(int)], rtol=1e-6)
    everything = open_dataset(path, part="all", weight=name)
    np.testing.assert_allclose(sample_weights(everything), WEIGHTS, rtol=1e-6)  # type: ignore[arg-type]


def write_parts(folder: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        np.save(folder / f"X_{part}.npy", ROWS)
        np.save(folder / f"y_{part}.npy", LABELS)
        np.save(folder / f"w_{part}.npy", WEIGHTS * (2 if part == "test" else 1))


def test_parts_of_a_source_have_files_of_their_own(tmp_path: Path) -> None:
    write_parts(tmp_path, ("train", "test"))
    split = open_split(tmp_path, weight="w.npy")
    assert split.test is not None
    np.testing.assert_allclose(sample_weights(split.test), 2 * WEIGHTS)  # type: ignore[arg-type]
    joined = sample_weights(open_dataset(tmp_path, part="all", weight="w.npy"))
    np.testing.assert_allclose(joined, np.concatenate([WEIGHTS, 2 * WEIGHTS]))  # type: ignore[arg-type]
    (tmp_path / "w_test.npy").unlink()
    with pytest.raises(InputError, match="one for each of train, test; there is none"):
        open_split(tmp_path, weight="w.npy")


def bad_npz(**parts: Any) -> Any:
    def write(path: Path) -> Path:
        np.savez(path / "rows.npz", **{"X": ROWS, "y": LABELS, "w": WEIGHTS, **parts})
        return path / "rows.npz"

    return write


@pytest.mark.parametrize(
    ("write", "name", "message"),
    [
        (write_npz, "v", "has no column or key v"),
        (write_parquet, "v", "has no column or key v"),
        (write_npy, "v", "has no column of weights"),
        (bad_npz(w=-WEIGHTS), "w", "must be finite and >= 0; row 1 has"),
        (bad_npz(w=np.where(WEIGHTS > 0.5, np.nan, 1.0)), "w", "must be finite and >= 0; row 10 has nan"),
        (bad_npz(w=0 * WEIGHTS), "w", "must not all be 0"),
        (bad_npz(w=WEIGHTS[:7]), "w", "must be one number a row, 20 in all; got shape"),
        (bad_npz(w=LABELS.astype(str)), "w", "must be numbers"),
    ],
)
def test_what_is_no_weight_is_refused(write: Any, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_split(write(tmp_path), weight=name)


def test_a_folder_has_no_column(tmp_path: Path) -> None:
    write_parts(tmp_path, ("train",))
    with pytest.raises(InputError, match="columns of weights are those of feature files"):
        open_split(tmp_path, weight="w")
