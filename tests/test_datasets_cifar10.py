"""CIFAR-10: found where it is said to be, checked, downloaded if absent; on small stand-ins and the real files."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from colinear.checks import InputError
from colinear.datasets.cifar10 import META_FILE, TEST_FILE, TRAIN_FILES, Source, load_cifar10
from colinear.datasets.fetch import check_md5, user_cache

NAMES = ["cat", "dog", "eel"]
FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def small_files() -> dict[str, bytes]:
    """Seven files of the official form: four training rows a batch, six test rows; values name file and row."""
    files = {META_FILE: pickle.dumps({b"label_names": [name.encode() for name in NAMES]}, 2)}
    for number, name in enumerate((*TRAIN_FILES, TEST_FILE)):
        rows = 6 if name == TEST_FILE else 4
        pixels = np.full((rows, 3072), 10 * number, np.uint8) + np.arange(rows, dtype=np.uint8)[:, None]
        labels = [(number + row) % 3 for row in range(rows)]
        files[name] = pickle.dumps({b"data": pixels, b"labels": labels}, 2)
    return files


def archive_of(files: dict[str, bytes], members: list[tarfile.TarInfo] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members or []:
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


FILES = small_files()
PACKED = archive_of(FILES)
SOURCE = Source(
    url=f"http://localhost:9/{ARCHIVE}",
    archive_md5=md5(PACKED),
    md5s={name: md5(content) for name, content in FILES.items()},
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An empty user cache for every test, and no COLINEAR_DATA for those that bring their own files."""
    cache = tmp_path / "user" / "cache"
    monkeypatch.setattr("colinear.datasets.fetch.pooch.os_cache", lambda _: cache)
    if request.node.get_closest_marker("cifar10") is None:
        monkeypatch.delenv("COLINEAR_DATA", raising=False)
    return cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "given" / FOLDER
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A local server: the folder it serves, and its address."""
    root = tmp_path / "served"
    root.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(root))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield root, f"http://127.0.0.1:{httpd.server_port}/{ARCHIVE}"
        httpd.shutdown()
        thread.join()


def check_small(pair: tuple[object, object]) -> None:
    train, test = pair
    assert (train.n_samples, test.n_samples) == (20, 6)  # type: ignore[attr-defined]
    assert train.take(torch.arange(20))[:, 0].tolist() == [10 * b + r for b in range(5) for r in range(4)]  # type: ignore[attr-defined]
    assert test.labels.tolist() == [(5 + row) % 3 for row in range(6)]  # type: ignore[attr-defined]
    assert train.class_names == tuple(NAMES)  # type: ignore[attr-defined]
    assert (train.dtype, train.image_shape, train.value_range) == (torch.uint8, (3, 32, 32), 255.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("below", [True, False], ids=["root", "folder itself"])
@pytest.mark.parametrize("variable", [True, False], ids=["COLINEAR_DATA", "data_dir"])
def test_folder_is_found(folder: Path, below: bool, variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder.parent if below else folder
    if variable:
        monkeypatch.setenv("COLINEAR_DATA", str(root))
    check_small(load_cifar10(None if variable else root, source=SOURCE))


@pytest.mark.parametrize("named", [True, False], ids=["archive itself", "its folder"])
def test_archive_is_unpacked_into_the_cache(tmp_path: Path, own_cache: Path, named: bool) -> None:
    archive = tmp_path / ARCHIVE
    archive.write_bytes(PACKED)
    check_small(load_cifar10(archive if named else tmp_path, source=SOURCE))
    assert sorted(path.name for path in (own_cache / FOLDER).iterdir()) == sorted(FILES)
    assert sorted(path.name for path in own_cache.iterdir()) == [FOLDER, "verified"]
    check_small(load_cifar10(archive, source=SOURCE))


def test_archive_in_the_cache_is_enough(own_cache: Path) -> None:
    own_cache.mkdir(parents=True)
    (own_cache / ARCHIVE).write_bytes(PACKED)
    check_small(load_cifar10(source=SOURCE))


def test_data_dir_goes_before_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLINEAR_DATA", str(folder / "nowhere"))
    check_small(load_cifar10(folder, source=SOURCE))


@pytest.mark.parametrize("name", sorted(FILES))
def test_changed_byte_names_file_and_sums(folder: Path, name: str) -> None:
    check_small(load_cifar10(folder, source=SOURCE))  # remembered as good
    content = bytearray(FILES[name])
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_cifar10(folder, source=SOURCE)
    for part in (str(folder / name), SOURCE.md5s[name], md5(bytes(content)), "Delete it and unpack"):
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_sums_are_remembered_and_never_beside_the_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_cifar10(folder, source=SOURCE)
    monkeypatch.setattr("colinear.datasets.fetch.md5_of", lambda path: pytest.fail(f"{path} is summed again"))
    check_small(load_cifar10(folder, source=SOURCE))
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_unwritable_memory_is_no_error(folder: Path, own_cache: Path) -> None:
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("a file where the cache folder should be")
    check_small(load_cifar10(folder, source=SOURCE))


def test_unwritable_cache_names_the_way_out_for_an_archive(tmp_path: Path, own_cache: Path) -> None:
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("a file where the cache folder should be")
    (tmp_path / ARCHIVE).write_bytes(PACKED)
    with pytest.raises(InputError, match="Unpack it yourself"):
        load_cifar10(tmp_path, source=SOURCE)


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "data_batch_3").unlink()
    with pytest.raises(InputError, match="lacks data_batch_3"):
        load_cifar10(folder, source=SOURCE)


@pytest.mark.parametrize("exists", [True, False])
def test_given_folder_without_the_data_is_no_reason_to_download(tmp_path: Path, exists: bool) -> None:
    root = tmp_path if exists else tmp_path / "absent"
    with pytest.raises(InputError, match=r"data_dir .* (has neither|does not exist)"):
        load_cifar10(root, source=SOURCE)


def test_batch_without_matching_labels_is_named(folder: Path) -> None:
    content = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 3]}, 2)
    (folder / TEST_FILE).write_bytes(content)
    source = Source(md5s={**SOURCE.md5s, TEST_FILE: md5(content)})
    with pytest.raises(InputError, match=r"test_batch must have one label in \[0, 3\)"):
        load_cifar10(folder, source=source)


def test_opcodes_are_checked_where_the_sums_are_not_the_official_ones(folder: Path) -> None:
    content = b"\x80\x02}r\xff\xff\xff\x7f."  # a memo of 2^31 places
    (folder / TEST_FILE).write_bytes(content)
    source = Source(md5s={**SOURCE.md5s, TEST_FILE: md5(content)})
    with pytest.raises(InputError, match=r"test_batch cannot be read .*it stores a value under number"):
        load_cifar10(folder, source=source)


@pytest.mark.parametrize("names", [["cat", "dog", "cat"], [], [1, 2, 3], "cat", None])
def test_names_that_do_not_tell_classes_apart_are_refused(folder: Path, names: object) -> None:
    content = pickle.dumps({b"label_names": names}, 2)
    (folder / META_FILE).write_bytes(content)
    source = Source(md5s={**SOURCE.md5s, META_FILE: md5(content)})
    with pytest.raises(InputError, match=r"batches\.meta must (name every class once|have label_names)"):
        load_cifar10(folder, source=source)


def test_download(server: tuple[Path, str], own_cache: Path) -> None:
    root, url = server
    (root / ARCHIVE).write_bytes(PACKED)
    seen: list[tuple[str, int, int]] = []
    source = Source(url=url, archive_md5=SOURCE.archive_md5, md5s=SOURCE.md5s)
    check_small(load_cifar10(source=source, progress=lambda *step: seen.append(step)))
    assert seen[-1] == (ARCHIVE, len(PACKED), len(PACKED))
    assert (own_cache / ARCHIVE).read_bytes() == PACKED
    (root / ARCHIVE).unlink()
    check_small(load_cifar10(source=source))  # once is enough


@pytest.mark.parametrize("served", [None, PACKED[:-50]], ids=["nothing there", "damaged on the way"])
def test_failed_download_names_the_three_ways(server: tuple[Path, str], own_cache: Path, served: bytes | None) -> None:
    root, url = server
    if served is not None:
        (root / ARCHIVE).write_bytes(served)
    with pytest.raises(InputError) as caught:
        load_cifar10(source=Source(url=url, archive_md5=SOURCE.archive_md5, md5s=SOURCE.md5s))
    for part in ("COLINEAR_DATA", "--data-dir", f"put {ARCHIVE} into {own_cache}"):
        assert part in str(caught.value)
    assert not (own_cache / ARCHIVE).exists()


def test_no_network_names_the_three_ways() -> None:
    with pytest.raises(InputError, match=r"(?s)no connection: ConnectionError.*COLINEAR_DATA"):
        load_cifar10(source=SOURCE)  # nothing listens on port 9


def hostile(kind: bytes, name: str, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([hostile(tarfile.SYMTYPE, f"{FOLDER}/{TEST_FILE}", "/etc/passwd")], "must be a regular file"),
        ([hostile(tarfile.LNKTYPE, f"{FOLDER}/{TEST_FILE}", "../../x")], "must be a regular file"),
        ([hostile(tarfile.DIRTYPE, f"{FOLDER}/{TEST_FILE}")], "must be a regular file"),
        ([hostile(tarfile.REGTYPE, f"many/{row}") for row in range(70)], "lacks .*batches.meta"),
    ],
    ids=["symlink", "hard link", "folder", "too many members"],
)
def test_hostile_members_are_refused(
    tmp_path: Path, own_cache: Path, members: list[tarfile.TarInfo], message: str
) -> None:
    content = archive_of(FILES, members)
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_cifar10(tmp_path, source=Source(archive_md5=md5(content), md5s=SOURCE.md5s))
    assert [path.name for path in own_cache.iterdir()] == ["verified"]


def test_members_with_climbing_paths_are_never_written(tmp_path: Path, own_cache: Path) -> None:
    content = archive_of({**FILES, "../../climbed": b"x"}, [hostile(tarfile.SYMTYPE, "link", "/")])
    (tmp_path / ARCHIVE).write_bytes(content)
    check_small(load_cifar10(tmp_path, source=Source(archive_md5=md5(content), md5s=SOURCE.md5s)))
    assert not list(tmp_path.rglob("climbed"))
    assert sorted(path.name for path in (own_cache / FOLDER).iterdir()) == sorted(FILES)


def test_truncated_archive_leaves_nothing_behind(tmp_path: Path, own_cache: Path) -> None:
    content = PACKED[: len(PACKED) // 2]
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(InputError, match="cannot be unpacked"):
        load_cifar10(tmp_path, source=Source(archive_md5=md5(content), md5s=SOURCE.md5s))
    assert [path.name for path in own_cache.iterdir()] == ["verified"]


def test_check_md5_forgets_a_file_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good")
    check_md5(path, md5(b"good"), "Advice.")
    path.write_bytes(b"evil")
    with pytest.raises(InputError, match="Advice"):
        check_md5(path, md5(b"good"), "Advice.")
    assert user_cache().joinpath("verified").is_dir()


@pytest.mark.cifar10
def test_the_real_files(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = "colinear.datasets.unpickle.check_opcodes"
    monkeypatch.setattr(checked, lambda *_: pytest.fail("opcodes of an official file are checked"))
    train, test = load_cifar10(data_dir)
    assert tuple(train.features.shape) == (50000, 3072)
    assert tuple(test.features.shape) == (10000, 3072)
    assert train.labels.bincount().tolist() == [5000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10
    assert train.class_names[:2] == ("airplane", "automobile")
    assert train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    mean = train.features.view(50000, 3, 1024).sum((0, 2)).double() / (50000 * 1024 * 255)
    assert mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)  # the published channel means
