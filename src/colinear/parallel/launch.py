"""What a launcher says of a process that it has started: torchrun's variables, else Slurm's. Needs no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from colinear.checks import InputError
from colinear.texts import shown

TIMEOUT = 600.0  # seconds that a process waits for the others, unless it is told another time
FIRST_PORT, PORTS = 15_000, 20_000  # of a job of Slurm, whose number picks one; Lightning's and DINO's rule too


class GroupError(RuntimeError):
    """A process of the group has gone, or does not answer in time: nothing more can be summed."""


@dataclass(frozen=True)
class Launch:
    """Which process this is, of how many, and where they meet.

    local_rank, local_size : the same on its machine.     served : the launcher itself keeps the store they meet at.
    attempt : how often the launcher has started them.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    port: int
    served: bool = False
    attempt: int = 0

    @classmethod
    def find(cls, variables: Mapping[str, str] = os.environ) -> Launch | None:
        """What the environment says; None for a process that is alone.

        A script given to sbatch has Slurm's job in its environment and is alone: only srun makes steps of tasks.
        Raises `InputError` for variables that make no sense.

        >>> Launch.find({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "gpu[07-09]",
        ...              "SLURM_JOB_ID": "20003"})
        Launch(rank=1, size=2, local_rank=1, local_size=1, host='gpu07', port=15003, served=False, attempt=0)
        """

        def number(name: str, default: int | None = None) -> int:
            text = variables.get(name, "" if default is None else str(default))
            if not text.isdecimal():
                raise InputError(f"{name} must be a whole number >= 0; got {shown(text)}. Start with torchrun or srun.")
            return int(text)

        if "RANK" in variables and "WORLD_SIZE" in variables:
            size = number("WORLD_SIZE")
            launch = None if size <= 1 else cls(
                number("RANK"), size, number("LOCAL_RANK", 0), number("LOCAL_WORLD_SIZE", 1),
                variables.get("MASTER_ADDR", "localhost"), number("MASTER_PORT"),
                variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True", number("TORCHELASTIC_RESTART_COUNT", 0),
            )  # fmt: skip
        elif "SLURM_STEP_NUM_TASKS" in variables and "SLURM_PROCID" in variables:
            size, rank = number("SLURM_STEP_NUM_TASKS"), number("SLURM_PROCID")
            launch = None if size <= 1 else cls(
                rank, size, number("SLURM_LOCALID", rank), _tasks_here(variables),
                variables.get("MASTER_ADDR") or _first_node(variables.get("SLURM_STEP_NODELIST", "localhost")),
                number("MASTER_PORT", FIRST_PORT + number("SLURM_JOB_ID", 0) % PORTS),
                attempt=number("SLURM_RESTART_COUNT", 0),
            )  # fmt: skip
        else:
            return None
        if launch is not None and launch.rank >= launch.size:
            raise InputError(f"rank must be below the number of processes; got {launch.rank} of {launch.size}.")
        return launch

    @property
    def threads(self) -> int:
        """Cores of this machine for each process here, at least 1; what the user sets above 1 stands."""
        asked = os.environ.get("OMP_NUM_THREADS", "1")  # torchrun sets 1 where nothing is set
        if asked.isdecimal() and int(asked) > 1:
            return int(asked)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.local_size)


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
