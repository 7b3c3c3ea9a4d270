"""Stored activations as a dataset of torch: what ``Run.to_torch`` returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from actlas.store.errors import UsageError
from actlas.store.reading.feeding import feed
from actlas.store.runs.run import Run


class TokenRows(IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batches of rows and their token indices, each token once an epoch however many workers.

    Give it to ``DataLoader(rows, batch_size=None, num_workers=…)``: batches are made here. Rows
    are float32, (batch, …) as the site has them; indices int64, (batch,), along the run's
    ``token``: ``dataset.isel(token=index)`` has their labels.
    """

    def __init__(self, run: Run, site: str, layer: int | None, batch: int, **options: Any) -> None:
        self.feed = feed(run, site, layer, batch, **options)
        # in shared memory: workers that live on from epoch to epoch see it change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def tokens(self) -> int:
        """Number of rows of an epoch."""
        return len(self.feed.tokens)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be in another order: that of ``epoch``, from 0 on."""
        if epoch < 0:
            raise UsageError(f"expected an epoch from 0 on, got {epoch}")
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield one epoch, in a worker its share; the same one until ``set_epoch``."""
        worker = get_worker_info()
        part, parts = (worker.id, worker.num_workers) if worker else (0, 1)
        for rows, tokens in self.feed.epoch(int(self._epoch), part, parts):
            yield torch.from_numpy(rows), torch.from_numpy(tokens)
