"""The processes of one training: which of them this one is, and what all of them agree on.

Every rank reads the same packs in the same order, differentiates its share of a step, and takes the step that all of
them take. The first one alone writes files and talks. transformers is shown none of it: to its Trainer each rank is
alone, so nothing is wrapped in DistributedDataParallel, whose hooks our loop goes past, and no order of packs changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tasks.core.errors import BadSetting

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # what accelerate looks at
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE")
_PATIENCE = timedelta(hours=2)  # for the first rank's look at the validation loss; a rank that dies is known at once


T = TypeVar("T")


class RankLost(Exception):
    """Another process of this training is gone. The launcher's words say which and why, so this one says none."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among `world`. device: where what is agreed on travels from."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this one writes and talks."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's items; every item is one rank's."""
        return items[self.rank :: self.world]

    def add(self, tensors: Sequence[Any]) -> None:
        """Puts into each tensor its sum over all ranks: the same bits in every rank."""
        import torch

        if self.world == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _lost():
            torch.distributed.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def of_first(self, value: float) -> float:
        """The first rank's value, in every rank."""
        return self._sum(value if self.first else 0.0)

    def any(self, flag: bool) -> bool:
        """Whether it is so in any rank."""
        return self._sum(float(flag)) > 0

    def wait(self) -> None:
        """Until every rank is here."""
        self._sum(0.0)

    def _sum(self, value: float) -> float:
        import torch

        if self.world == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        with _lost():
            torch.distributed.all_reduce(told)
            return float(told)


ALONE = Ranks()


def join() -> Ranks:
    """This process among those that the launcher started, from its environment variables, which are taken away.

    With GPUs each rank sees one only. Raises BadSetting where there are fewer GPUs than ranks.
    """
    import torch

    rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    gpus = torch.cuda.device_count()
    if gpus:
        _see_one_gpu(local, gpus, world)
    torch.distributed.init_process_group("nccl" if gpus else "gloo", timeout=_PATIENCE)
    for name in _LAUNCHED:
        os.environ.pop(name, None)
    return Ranks(rank, world, "cuda" if gpus else "cpu")


def require_ranks(ranks: Ranks, processes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Raises BadSetting unless this is a training of so many processes, and Ratchet started them.

    A launcher of somebody else's starts several of this process, and each would train the whole by itself.
    """
    for name in _SIZES:
        if environment.get(name, "1").strip() not in ("", "0", "1"):
            raise BadSetting(
                f"{name}={environment[name]} says that a launcher such as torchrun started several of this process, "
                "and Ratchet starts the processes of a training itself: RATCHET_LORA__PROCESSES. Run it without the "
                f"launcher, or unset {name}.",
                variable=name,
            )
    if ranks.world != processes:
        raise BadSetting(
            f"RATCHET_LORA__PROCESSES={processes}, and this is one of {ranks.world}: a training of several processes "
            "starts as `ratchet train` starts it, in processes of its own.",
            processes=processes,
        )


def _see_one_gpu(local: int, gpus: int, world: int) -> None:
    """From now on this rank's GPU is the only one: what says "cuda" means it."""
    import torch

    if world > gpus:
        raise BadSetting(
            f"RATCHET_LORA__PROCESSES={world} wants as many GPUs, and {gpus} can be seen here. Lower it to {gpus}.",
            gpus=gpus,
        )
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    os.environ["CUDA_VISIBLE_DEVICES"] = named[local] if named else str(local)
    if torch.cuda.device_count() != 1:
        raise BadSetting(
            "A training of several processes gives each its own GPU by CUDA_VISIBLE_DEVICES, and CUDA did not follow "
            "it here. Set RATCHET_LORA__PROCESSES=1."
        )


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's way to say that a peer is gone
        raise RankLost(str(error)) from error
