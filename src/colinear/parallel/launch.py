"""What a launcher says of a process that it has started: torchrun's variables, else Slurm's. Needs no torch."""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from colinear.checks import InputError
from colinear.texts import shown

TIMEOUT = 600.0  # seconds that a process waits for the others, unless it is told another time
FIRST_PORT, PORTS = 15_000, 20_000  # of a job of Slurm, whose number picks one; Lightning's and DINO's rule too
STEP_PORTS = 1_009  # between the ports of two steps of a job, which may run at once; jobs have numbers in a row
LAST_PORT, MOST = 65_535, 2**32 - 1  # Slurm counts jobs and steps in 32 bits


class GroupError(RuntimeError):
    """A process of the group has gone, or does not answer in time: nothing more can be summed."""


@dataclass(frozen=True)
class Launch:
    """Which process this is, of how many, and where they meet.

    local_rank, local_size : the same on its machine.     served : the launcher itself keeps the store they meet at.
    attempt : how often the launcher has started them.    job : its name, where others may meet at the same place.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    port: int
    served: bool = False
    attempt: int = 0
    job: str = ""

    @classmethod
    def find(cls, variables: Mapping[str, str] = os.environ) -> Launch | None:
        """What the environment says; None for a process that is alone.

        A script given to sbatch has Slurm's job in its environment and is alone: only srun makes steps of tasks.
        Raises `InputError` for variables that make no sense.

        >>> Launch.find({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "gpu[07-09]",
        ...              "SLURM_JOB_ID": "20003"})
        Launch(rank=1, size=2, local_rank=1, local_size=1, host='gpu07', port=15003, ... job='20003.0')
        """

        def number(name: str, default: int | None = None, least: int = 0, most: int = MOST) -> int:
            text = variables.get(name, "" if default is None else str(default))
            if not (text.isdecimal() and len(text) <= len(str(MOST)) and least <= int(text) <= most):
                rule = f">= {least}" if most == MOST else f"from {least} to {most:,}"
                raise InputError(
                    f"{name} must be a whole number {rule}; got {shown(text)}. Start with torchrun or srun."
                )
            return int(text)

        if "RANK" in variables and "WORLD_SIZE" in variables:
            size, rank = number("WORLD_SIZE", least=1), number("RANK")
            launch = None if size == 1 else cls(
                rank, size, number("LOCAL_RANK", 0), number("LOCAL_WORLD_SIZE", 1, least=1),
                variables.get("MASTER_ADDR") or "localhost", number("MASTER_PORT", least=1, most=LAST_PORT),
                variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True", number("TORCHELASTIC_RESTART_COUNT", 0),
            )  # fmt: skip
        elif "SLURM_STEP_NUM_TASKS" in variables and "SLURM_PROCID" in variables:
            size, rank = number("SLURM_STEP_NUM_TASKS", least=1), number("SLURM_PROCID")
            job, step = number("SLURM_JOB_ID", 0), number("SLURM_STEP_ID", 0)
            launch = None if size == 1 else cls(
                rank, size, number("SLURM_LOCALID", rank), _tasks_here(variables),
                variables.get("MASTER_ADDR") or _first_node(variables.get("SLURM_STEP_NODELIST", "localhost")),
                number("MASTER_PORT", FIRST_PORT + (job + STEP_PORTS * step) % PORTS, least=1, most=LAST_PORT),
                attempt=number("SLURM_RESTART_COUNT", 0), job=f"{job}.{step}",
            )  # fmt: skip
        else:
            return None
        if rank >= size:
            raise InputError(f"rank must be below the number of processes; got {rank} of {size}.")
        return launch


@dataclass(frozen=True)
class Seat:
    """Where a process computes: its machine's name, the cores that it may use, the threads that it was told, or 0."""

    machine: str
    cores: Sequence[int]
    asked: int = 0

    @classmethod
    def here(cls) -> Seat:
        """This process's. One thread, which torchrun sets where nothing is set, is none that it was told."""
        asked = os.environ.get("OMP_NUM_THREADS", "1")
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        return cls(platform.node(), sorted(cores), int(asked) if asked.isdecimal() and int(asked) > 1 else 0)

    @property
    def told(self) -> tuple[str, list[int], int]:
        """What makes it again where others tell it."""
        return self.machine, list(self.cores), self.asked

    def threads(self, every: Sequence[Seat]) -> int:
        """What it was told, or its cores, of which those that other processes may use too are shared; at least 1.

        So tasks that srun has bound to cores of their own have all of them.

        >>> free, bound = Seat("a", range(4)), [Seat("b", [0, 1]), Seat("b", [2, 3])]
        >>> [seat.threads([free, free, *bound]) for seat in (free, *bound)]
        [2, 2, 2]
        """
        users = Counter(core for seat in every if seat.machine == self.machine for core in seat.cores)
        return self.asked or max(1, int(sum(Fraction(1, users[core]) for core in self.cores)))


def _first_node(nodes: str) -> str:
    """
    >>> _first_node("gpu[07-09,12],cpu1"), _first_node("head,gpu[1-2]"), _first_node("n[3,5]-ib")
    ('gpu07', 'head', 'n3-ib')
    """
    first = re.match(r"([^,\[]*)(?:\[([^\]\-,]*)[^\]]*\])?([^,\[]*)", nodes)
    return "".join(part or "" for part in first.groups()) if first else nodes


def _tasks_here(variables: Mapping[str, str]) -> int:
    """Tasks on this node, from Slurm's counts, node by node: 2(x3),1.

    >>> _tasks_here({"SLURM_STEP_TASKS_PER_NODE": "2(x3),1", "SLURM_NODEID": "3"}), _tasks_here({})
    (1, 1)
    """
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", variables.get("SLURM_STEP_TASKS_PER_NODE", "")):
        counts += [int(count)] * int(times or 1)
    node = variables.get("SLURM_NODEID", "0")
    return counts[int(node)] if node.isdecimal() and int(node) < len(counts) else 1
