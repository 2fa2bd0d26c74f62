"""The endpoint of docs/guide/recipes.md, as it stands and as its Dockerfile starts it, with what strangers send."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import torch
import yaml

from colinear import LinearModel
from colinear.export import export_model

RECIPES = Path(__file__).parents[1] / "docs/recipes"
MOST = 1_000_000
pytest.importorskip("onnxruntime")


def steps_of(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of each line."""
    lines = (line.partition(" ") for line in dockerfile.read_text("utf-8").splitlines())
    return [(instruction, arguments) for instruction, _, arguments in lines]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Where the endpoint answers, laid out and started as the Dockerfile says, on a free port of the loopback."""
    context, image = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("image")
    shutil.copy(RECIPES / "serve.py", context)
    model = LinearModel(torch.eye(3, 4), torch.zeros(3), ("a", "b", "c"), provenance={"loss": "softmax"})
    export_model(model, context / "model.onnx", to="onnx")
    command: list[str] = []
    for instruction, arguments in steps_of(RECIPES / "Dockerfile"):
        if instruction == "COPY":
            for name in arguments.split()[:-1]:
                shutil.copy(context / name, image)
        elif instruction == "CMD":
            command = json.loads(arguments)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert command[0] == "python"
    assert command[-1] == "0.0.0.0:8080"
    server = subprocess.Popen([sys.executable, *command[1:-1], f"127.0.0.1:{port}"], cwd=image)
    try:
        wait_for(port, server)
        yield "127.0.0.1", port
    finally:
        server.kill()
        server.wait()


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the endpoint does not answer; its status is {server.poll()}")


def post(address: tuple[str, int], body: bytes) -> tuple[int, bytes]:
    connection = HTTPConnection(*address, timeout=30)
    try:
        connection.request("POST", "/", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_rows_get_the_labels_of_the_model(address: tuple[str, int]) -> None:
    status, answer = post(address, b"[[0, 5, 0, 9], [1, 0, 0.5, 0]]")
    assert (status, json.loads(answer)) == (200, {"labels": ["b", "a"]})


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no JSON", b"{}", b"[]", b"[[1, 2]]", b'[["a", 2, 3, 4]]', b"[[1, 2, 3, NaN]]", b"[[1, 2, 3, 1e999]]",
        b"[" * 100_000, b"[[1, 2, 3, " + b"9" * 5000 + b"]]", b"\xff\xfe",
    ],
    ids=["empty", "text", "object", "no rows", "narrow", "words", "nan", "infinity", "deep", "long", "bytes"],
)  # fmt: skip
def test_what_is_no_row_is_refused_and_the_next_one_is_served(body: bytes, address: tuple[str, int]) -> None:
    status, answer = post(address, body)
    assert status == 400
    assert "send rows of finite numbers" in json.loads(answer)["error"]
    assert post(address, b"[[0, 0, 1, 0]]")[0] == 200


def test_a_body_over_the_limit_is_refused(address: tuple[str, int]) -> None:
    """By its announced length: nothing of it has to be sent."""
    connection = HTTPConnection(*address, timeout=30)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(MOST + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert post(address, b"[[0, 0, 1, 0]]".ljust(MOST - 1))[0] == 200


def test_the_image_runs_as_nobody_and_installs_what_the_endpoint_imports() -> None:
    steps = steps_of(RECIPES / "Dockerfile")
    names = [instruction for instruction, _ in steps]
    assert names == ["FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD"]
    assert dict(steps)["USER"] == "nobody"
    imported = set(re.findall(r"^(?:import|from) (\w+)", (RECIPES / "serve.py").read_text("utf-8"), re.MULTILINE))
    installed = set(dict(steps)["RUN"].removeprefix("pip install --no-cache-dir ").split())
    assert imported - sys.stdlib_module_names == installed


def test_the_manual_takes_nothing_from_elsewhere_and_searches_from_the_disk() -> None:
    """The offline plugin would load the shim that searching needs from a server; it lies beside the pages."""

    class Loader(yaml.SafeLoader):
        pass

    config = yaml.load((RECIPES.parents[1] / "mkdocs.yml").read_text("utf-8"), Loader)
    assert "offline" in config["plugins"]
    (shim,) = config["extra"]["polyfills"]
    assert "iframe-worker" in shim  # how the plugin knows that it is there
    assert (RECIPES.parent / shim).is_file()
