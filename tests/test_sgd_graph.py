"""Recording SGD's step as a CUDA graph: when, where and how often, on a stand-in for CUDA, and on GPUs if there are."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.problems import draw_features

from colinear.datasets import ArrayDataset, AugmentedDataset, Features, fit_scaling, open_split
from colinear.datasets.base import Dataset
from colinear.datasets.derived import JoinedDataset
from colinear.losses import LOSSES, Loss
from colinear.search import SGDSearch, draw_candidates
from colinear.search.position import SearchPosition
from colinear.solvers import SGD, SGDState
from colinear.solvers import sgd as module

SOFTMAX = LOSSES["softmax"]
RATES = torch.tensor([0.3, 0.03, 0.1], dtype=torch.float64)
REGS = torch.tensor([1e-3, 0.5, 0.1], dtype=torch.float64)
ALL = SGD(80, 8, momentum=0.5, schedule="cosine", averaging=0.5)


class StandIn:
    """torch.cuda for tensors on the host: capturing notes the step without running it, a replay runs it."""

    def __init__(self) -> None:
        self.devices: list[Any] = []  # entered, innermost last
        self.streams: list[tuple[Any, Any]] = []  # (stream, device that was current when it was made)
        self.captured_on: list[Any] = []
        self.capturing: Any = None
        self.replays = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        real = module._Stepper._step

        def step(stepper: Any, state: SGDState) -> None:
            assert self.devices == [state.coef.device] or not self.devices
            if self.capturing is None:
                real(stepper, state)
            else:
                self.capturing.step = lambda: real(stepper, state)

        cuda = self

        class Stream:
            def __init__(self) -> None:
                cuda.streams.append((self, cuda.devices[-1] if cuda.devices else None))

            def wait_stream(self, other: Any) -> None: ...

        class Graph:
            step: Any = None

            def replay(self) -> None:
                cuda.replays += 1
                self.step()

        @contextmanager
        def device(which: Any) -> Iterator[None]:
            self.devices.append(which)
            yield
            self.devices.pop()

        @contextmanager
        def use(stream: Any) -> Iterator[None]:
            yield

        @contextmanager
        def graph(target: Any, stream: Any = None) -> Iterator[None]:
            self.captured_on.append(stream)
            self.capturing = target
            yield
            self.capturing = None

        patch.setattr(module._Stepper, "_step", step)
        patch.setattr(module, "suits_graph", lambda state, features: True)
        for name, value in {
            "Stream": Stream, "CUDAGraph": Graph, "device": device, "stream": use, "graph": graph,
            "current_stream": lambda: Stream(),
        }.items():  # fmt: skip
            patch.setattr(torch.cuda, name, value)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    stand_in.install(monkeypatch)
    return stand_in


def start(sgd: SGD, features: Features) -> SGDState:
    generator = torch.Generator().manual_seed(1)
    coef = 0.1 * torch.randn(features.n_classes, features.n_features, generator=generator, dtype=features.dtype)
    return sgd.start(coef, RATES, REGS, torch.Generator().manual_seed(3))


def advance(sgd: SGD, state: SGDState, features: Features, *stops: int, loss: Loss = SOFTMAX) -> SGDState:
    for until in stops:
        sgd.advance(state, features, loss, until)
    return state


def assert_same(one: SGDState, other: SGDState) -> None:
    for name in ("coef", "history", "velocity", "average"):
        assert torch.equal(getattr(one, name).nan_to_num(-1), getattr(other, name).nan_to_num(-1)), name


def test_a_run_in_pieces_is_recorded_once_and_is_the_run_without_a_graph() -> None:
    features = draw_features(60, 7, 3)
    plain = advance(ALL, start(ALL, features), features, 80)
    with pytest.MonkeyPatch.context() as patch:
        cuda = StandIn()
        cuda.install(patch)
        recorded = advance(ALL, start(ALL, features), features, *range(5, 81, 5))
    assert (len(cuda.captured_on), cuda.replays) == (1, 80)
    assert_same(recorded, plain)


def test_the_graph_is_recorded_on_the_device_of_the_weights_and_on_a_stream_made_there(cuda: StandIn) -> None:
    features = draw_features(60, 7, 3)
    state = advance(ALL, start(ALL, features), features, 20)
    assert [device for _, device in cuda.streams] == [state.coef.device] * len(cuda.streams)
    assert cuda.captured_on[0] in [stream for stream, _ in cuda.streams]
    assert cuda.devices == []


def test_a_smaller_matrix_is_recorded_anew(cuda: StandIn) -> None:
    features = draw_features(60, 7, 3)
    state = advance(ALL, start(ALL, features), features, 20, 30)
    state.keep(torch.tensor([0, 2]))
    assert state._stepper is None  # nothing holds the larger matrix any more
    advance(ALL, state, features, 40, 80)
    assert len(cuda.captured_on) == 2
    whole = advance(ALL, start(ALL, features), features, 80)
    torch.testing.assert_close(state.coef, whole.coef[[0, 2]])


def test_other_settings_rows_losses_or_tensors_are_recorded_anew(cuda: StandIn) -> None:
    features = draw_features(60, 7, 3)
    state = advance(ALL, start(ALL, features), features, 20)
    advance(replace(ALL), state, features, 21)  # equal settings
    assert len(cuda.captured_on) == 1
    advance(replace(ALL, momentum=0.6), state, features, 22)
    advance(replace(ALL, momentum=0.6), state, draw_features(60, 7, 3), 23)
    assert len(cuda.captured_on) == 3
    state = advance(ALL, start(ALL, features), features, 20)
    advance(ALL, state, features, 21, loss=LOSSES["hinge"])
    for name in ("coef", "velocity", "average", "learning_rates", "regs"):
        recorded = len(cuda.captured_on)
        setattr(state, name, getattr(state, name).clone())
        advance(ALL, state, features, state.step + 1, loss=LOSSES["hinge"])
        assert len(cuda.captured_on) == recorded + 1, name


def test_a_copy_a_pickle_and_a_checkpoint_have_no_graph_and_go_on_alike(cuda: StandIn) -> None:
    features = draw_features(60, 7, 3)
    state = advance(ALL, start(ALL, features), features, 20)
    tensors, facts = SearchPosition(
        state, torch.arange(3), *(torch.zeros(0) for _ in range(7)), statuses=[], rungs=[]
    ).to_parts()
    parts = {name: tensor.clone() for name, tensor in tensors.items()}
    others = [copy.deepcopy(state), SearchPosition.from_parts(parts, facts, torch.device("cpu")).state]
    if hasattr(state.generator, "__reduce__"):
        others.append(pickle.loads(pickle.dumps(state)))
    advance(ALL, state, features, 80)
    for other in others:
        assert other._stepper is None
        assert_same(advance(ALL, other, features, 80), state)
    assert len(cuda.captured_on) == 1 + len(others)


def test_the_last_few_steps_are_not_worth_recording(cuda: StandIn) -> None:
    features, few = draw_features(60, 7, 3), SGD(module.GRAPH_STEPS - 1, 8)
    advance(few, start(few, features), features, few.steps)
    assert cuda.captured_on == []


def test_rows_asked_for_between_advances_do_not_move_the_buffer_of_the_step() -> None:
    features = draw_features(3000, 7, 3)
    state = advance(ALL, start(ALL, features), features, 5)
    stepper = state._stepper
    assert stepper is not None
    buffer = stepper.features._buffer
    features.gather(slice(0, 3000))
    advance(ALL, state, features, 10)
    assert state._stepper is stepper
    assert stepper.features._buffer is buffer
    assert features._buffer.data_ptr() != buffer.data_ptr()


def test_rows_that_wait_for_the_device_are_not_recorded() -> None:
    class OnCuda:
        is_cuda = True

    split = open_split("digits")
    features = Features(split.train, fit_scaling(split.train))
    state = start(ALL, features)
    assert not module.suits_graph(state, features)  # on the host
    state.coef = OnCuda()  # type: ignore[assignment]
    assert module.suits_graph(state, features)
    waiting: list[Dataset] = [AugmentedDataset(split.train, mirror=True), JoinedDataset(split.train, split.validation)]
    for data in waiting:
        assert not module.suits_graph(state, Features(data, features.scaling))


def test_a_search_makes_its_buffers_once_for_each_size_of_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = module._Stepper.__init__

    def count(stepper: Any, sgd: SGD, state: SGDState, *rest: Any, **more: Any) -> None:
        made.append(len(state.coef))
        real(stepper, sgd, state, *rest, **more)

    monkeypatch.setattr(module._Stepper, "__init__", count)
    split = open_split("digits")
    rows = (Features(part, fit_scaling(split.train)) for part in (split.train, split.validation))
    candidates = tuple(draw_candidates(9, (1e-3, 1e-1), (1e-4, 1e-1), seed=1))
    SGDSearch("softmax", candidates, SGD(120, 32), eta=3).run(*rows)
    assert made == [9, 3, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("augmented", [False, True])
def test_on_every_gpu_a_run_in_pieces_is_the_run_on_the_host(augmented: bool) -> None:
    split = open_split("digits")
    host: Dataset = AugmentedDataset(split.train, shift=1) if augmented else split.train
    scaling = fit_scaling(split.train)
    expected = advance(ALL, start(ALL, Features(host, scaling)), Features(host, scaling), 80)
    for number in range(torch.cuda.device_count()):  # graphs on the second one came from streams of the first
        device = torch.device("cuda", number)
        features = Features(host.to(device), scaling)
        state = start(ALL, Features(host, scaling))
        state = ALL.start(state.coef.to(device), RATES, REGS, torch.Generator().manual_seed(3))
        advance(ALL, state, features, *range(5, 81, 5))
        assert (state._stepper is not None and state._stepper._graph is not None) is not augmented
        torch.testing.assert_close(state.coef.cpu(), expected.coef, rtol=1e-3, atol=1e-5)
        features.gather(slice(0, 1))  # the device still works


def test_array_datasets_say_that_they_do_not_wait() -> None:
    assert ArrayDataset(torch.eye(2), torch.tensor([0, 1]), ("a", "b")).capturable
