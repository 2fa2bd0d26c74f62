"""The group of processes that share a problem, each with rows of its own: sums over all of them, and one voice.

A group is an argument of whatever sums; nothing picks up a process group of torch behind its caller's back. A group of
one does nothing at all.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from colinear.checks import InputError
from colinear.parallel.launch import TIMEOUT, GroupError, Launch, Seat
from colinear.texts import cut_middle, shown

Thing = TypeVar("Thing")
MOST_GATHERED = 1 << 16  # numbers of a tensor that is gathered: 512 KiB from each process
FAREWELL = 5.0  # seconds that a process waits for the others to hear of its mistake: a launcher kills them then
GOODBYE = 2.0  # the same after a death, when one at least is gone, and for an answer of the store
MISTAKE, WORD, HEARD, LEFT = "mistake", "word", "heard", "left"  # keys of the store


@dataclass(frozen=True, eq=False)
class Group:
    """This process's place in its group. All processes must call the same methods in the same order.

    Every method raises `GroupError` where another process has gone or is silent for longer than the timeout, and
    `InputError` where another has left with one (see `end`).

    >>> alone, total = Group(), torch.ones(2)
    >>> alone.sum_(total), alone.gather("one"), alone.own(7)
    (None, ['one'], slice(0, 7, None))
    """

    rank: int = 0
    size: int = 1
    timeout: float = TIMEOUT
    store: Any = None
    local_size: int = 1  # of them on this machine

    @classmethod
    def join(cls, launch: Launch | None, timeout: float = TIMEOUT) -> Self:
        """Meet the other processes of a launch; None is a group of one.

        timeout : seconds > 0 that a process waits for the others, here and at every sum.
        Sets PyTorch's threads to the cores that each process has (see `Seat`), the fewest of any for all: what all
        compute alike has to be the same to the last bit. Where there are GPUs, this process's is that of its
        place on its machine, and tensors there are summed by NCCL.
        The group that it opens is torch's default group, since gathering needs one.
        """
        if launch is None:
            return cls()
        if dist.is_initialized():
            raise InputError("this program has a process group of torch already; colinear opens its own. Destroy it.")
        wait = timedelta(seconds=timeout)
        gpus = torch.cuda.is_available() and launch.local_rank < torch.cuda.device_count()
        if gpus:
            torch.cuda.set_device(launch.local_rank)  # what "cuda" means from here on
        how = "cpu:gloo,cuda:nccl" if gpus and dist.is_nccl_available() else "gloo"
        with _arriving(launch, timeout):
            host = launch.rank == 0 and not launch.served
            meet = dist.TCPStore(launch.host, launch.port, launch.size, host, wait, multi_tenant=True)  # type: ignore[attr-defined]
            # a restarted process would read addresses of dead ones
            store = dist.PrefixStore(f"colinear-{launch.job}-{launch.attempt}", meet)  # type: ignore[attr-defined]
            dist.init_process_group(how, store=store, rank=launch.rank, world_size=launch.size, timeout=wait)
        group = cls(launch.rank, launch.size, timeout, store, launch.local_size)
        seats = [Seat(*told) for told in group.gather(Seat.here().told)]
        torch.set_num_threads(min(seat.threads(seats) for seat in seats))
        return group

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes, locks and speaks."""
        return self.rank == 0

    def own(self, n_rows: int) -> slice:
        """The contiguous range of `n_rows` rows that belongs to this process; ranges differ by at most one row."""
        return slice(n_rows * self.rank // self.size, n_rows * (self.rank + 1) // self.size)

    def sum_(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all processes, the same bits in each.

        Those of at most `MOST_GATHERED` numbers are gathered, all in one message, and added in float64 in the order of
        ranks: the sum of a number does not depend on where it stands. Larger ones are summed by gloo's ring, or by NCCL
        on GPUs, in their precision: the same bits each time that the same processes sum tensors of the same shape.
        """
        if self.size == 1:
            return
        small = [tensor for tensor in tensors if 0 < tensor.numel() <= MOST_GATHERED]
        if small:
            mine = torch.cat([tensor.detach().reshape(-1).to("cpu", torch.float64) for tensor in small])
            every = [torch.empty_like(mine) for _ in range(self.size)]
            with self._meeting():
                dist.all_gather(every, mine)
            total = every[0]
            for part in every[1:]:
                total += part
            first = 0
            for tensor in small:
                tensor.copy_(total[first : first + tensor.numel()].view_as(tensor))
                first += tensor.numel()
        for tensor in tensors:
            if tensor.numel() > MOST_GATHERED:
                self._reduce_(tensor, dist.ReduceOp.SUM)

    def max_(self, tensor: Tensor) -> None:
        """Replace each number of a tensor by the largest of all processes."""
        if self.size > 1 and tensor.numel():
            self._reduce_(tensor, dist.ReduceOp.MAX)

    def gather(self, mine: Thing) -> list[Thing]:
        """What each process holds, in the order of ranks; small things, since each gets all.

        mine : tensors, numbers, texts, None, and tuples, lists and dicts of them. Nothing else is read of what others
            send, so that whoever reaches their ports can send nothing that runs.
        Cost     0.3 ms beside the messages.
        """
        if self.size == 1:
            return [mine]
        content = io.BytesIO()
        torch.save(_compact(mine), content)
        data = torch.frombuffer(content.getbuffer(), dtype=torch.uint8)
        lengths = [torch.empty(1, dtype=torch.int64) for _ in range(self.size)]
        with self._meeting():
            dist.all_gather(lengths, torch.tensor([len(data)]))
        sizes = [int(length) for length in lengths]
        every = [torch.empty(max(sizes), dtype=torch.uint8) for _ in sizes]
        with self._meeting():
            dist.all_gather(every, torch.cat([data, data.new_empty(max(sizes) - len(data))]))
        sent = (part[:size].numpy().tobytes() for part, size in zip(every, sizes, strict=True))
        return [torch.load(io.BytesIO(one), weights_only=True) for one in sent]

    def share(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of the first process, on the processor; those that others give count for nothing."""
        if self.size == 1:
            return tensors
        kinds = self.gather({name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()})[0]
        here = {
            name: tensors[name].cpu().contiguous() if self.leads else torch.empty(shape, dtype=dtype)
            for name, (dtype, shape) in kinds.items()
        }
        with self._meeting():
            for tensor in here.values():
                if tensor.numel():
                    dist.broadcast(tensor.reshape(-1).view(torch.uint8), 0)
        return here

    def fill_(self, tensor: Tensor, counts: Sequence[int]) -> None:
        """Give each process all of a contiguous tensor (n, ...), of which each has made so many rows, in rank order."""
        if self.size == 1 or not tensor.numel():
            return
        data = tensor.detach().view(len(tensor), -1).view(torch.uint8)
        with self._meeting():
            parts = enumerate(torch.split(data, list(counts)))
            sent = [dist.broadcast(part, rank, async_op=True) for rank, part in parts if len(part)]
            for work in sent:
                work.wait()

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Raise `InputError` in every process unless all have the same facts; of a tensor its bytes are compared.

        To be called before the first sum: tensors of different shapes end all processes by an abort.
        """
        if self.size == 1:
            return
        every = self.gather({name: _comparable(fact) for name, fact in facts.items()})
        for name in every[0]:
            other = next((rank for rank, theirs in enumerate(every) if theirs.get(name) != every[0][name]), None)
            if other is not None:
                ours, theirs = (cut_middle(shown(every[rank].get(name)), 60) for rank in (0, other))
                raise InputError(
                    f"the {self.size} processes of the group must have the same {name}: process 0 has {ours}, process "
                    f"{other} {theirs}. Give all the same command and data."
                )

    def check_weights(self, coef: Tensor) -> None:
        """Raise `GroupError` in every process if the weights are no longer the same to the last bit in all."""
        if self.size > 1 and len(set(self.gather(_digest(coef)))) > 1:
            raise GroupError(
                f"the {self.size} processes have come to different weights, so their sums mean nothing. Start them on "
                "processors of one kind, with the same versions."
            )

    def end(self, error: BaseException | None = None) -> bool:
        """Leave the group: after a barrier, or at once with the error that ends this process.

        An `InputError` of one process becomes one of all: the others get it from the call in which they wait for this
        one, which may be the last. Returns whether this process is the one that shall say what is wrong.
        """
        if self.size == 1 or not dist.is_initialized():
            return True
        speaks = self.rank <= 1  # where the store has gone with its process
        if error is None:
            with suppress(GroupError), self._meeting():  # of one that has gone now nothing is wanted
                dist.barrier()
        try:
            if isinstance(error, InputError):
                self._ask(lambda: self.store.set(MISTAKE, str(error)))
            if error is not None:
                speaks = self._ask(lambda: self.store.add(WORD, 1) == 1, speaks)
        finally:
            with suppress(RuntimeError):
                dist.destroy_process_group()
        if isinstance(error, InputError):
            self._wait_for_others()
        elif isinstance(error, GroupError) and self.leads:  # with the store, in which the others see who speaks
            self._wait(WORD, self.size - 1, GOODBYE)
        return speaks

    def mistake(self) -> str | None:
        """The message of the `InputError` that another process has left with, if one has."""
        if self.store is None:
            return None
        found = self._ask(lambda: self.store.get(MISTAKE) if self.store.check([MISTAKE]) else None)
        return None if found is None else str(found.decode())

    def _wait_for_others(self) -> None:
        """Stay until all know of the mistake, since a launcher kills them when one is gone; the first, which may keep
        the store, until the others have left it.
        """
        self._ask(lambda: self.store.add(HEARD, 1))
        self._wait(HEARD, self.size, FAREWELL)
        if self.leads:
            self._wait(LEFT, self.size - 1, FAREWELL)
        else:
            self._ask(lambda: self.store.add(LEFT, 1))

    def _wait(self, key: str, count: int, seconds: float) -> None:
        """Until the store has counted so many, or that time is over."""
        until = time.monotonic() + seconds
        while self._ask(lambda: self.store.add(key, 0), count) < count and time.monotonic() < until:
            time.sleep(0.01)

    def _ask(self, question: Callable[[], Any], otherwise: Any = None) -> Any:
        """What the store says; `otherwise` where it has gone or is silent: its calls wait for a machine without end."""
        answers: list[Any] = []

        def ask() -> None:
            with suppress(RuntimeError):
                answers.append(question())

        asking = Thread(target=ask, daemon=True)
        asking.start()
        asking.join(GOODBYE)
        return answers[0] if answers else otherwise

    def _reduce_(self, tensor: Tensor, how: dist.ReduceOp.RedOpType) -> None:
        whole = (tensor if tensor.is_cuda else tensor.cpu()).contiguous()
        with self._meeting():
            dist.all_reduce(whole, how)
        if whole is not tensor:
            tensor.copy_(whole)

    @contextmanager
    def _meeting(self) -> Iterator[None]:
        """Turn what gloo says of a process that is gone or silent into `GroupError`, or into that process's mistake."""
        try:
            yield
        except RuntimeError as error:
            mistake = self.mistake()
            if mistake is not None:
                raise InputError(mistake) from None
            raise GroupError(
                f"another of the {self.size} processes has gone, or has been silent for {self.timeout:g} s (--timeout)."
            ) from error


ALONE = Group()


@contextmanager
def _arriving(launch: Launch, timeout: float) -> Iterator[None]:
    """Turn what torch says of processes that have not found each other into `GroupError`."""
    try:
        yield
    except RuntimeError as error:
        place = shown(f"{launch.host}:{launch.port}")
        if "EADDRINUSE" in str(error):
            raise GroupError(
                f"{place}, where {launch.size} processes shall meet, is taken. Set MASTER_PORT."
            ) from error
        raise GroupError(
            f"{launch.size} processes have not met at {place} within {timeout:g} s (--timeout). Start all of them, "
            "with one MASTER_ADDR and one MASTER_PORT."
        ) from error


def _compact(thing: Any) -> Any:
    """The same of tensors that hold no more memory than they show: else all rows go with a view of the first."""
    if isinstance(thing, Tensor):
        return thing if thing.untyped_storage().nbytes() == thing.nbytes else thing.clone()
    if isinstance(thing, tuple | list):
        return type(thing)(_compact(one) for one in thing)
    return {name: _compact(one) for name, one in thing.items()} if isinstance(thing, dict) else thing


def _digest(tensor: Tensor) -> str:
    data = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{data.dtype}{tuple(data.shape)}".encode())
    digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _comparable(fact: Any) -> Any:
    """What can be sent of a fact, the same where facts are."""
    if isinstance(fact, Tensor):
        return _digest(fact) if fact.numel() else ()
    return fact if fact is None or type(fact) in (bool, int, float, str, tuple, list, dict) else repr(fact)
