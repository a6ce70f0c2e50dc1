"""Work on scans, done ahead of its use by other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from topokd.errors import TopokdError

T = TypeVar("T")


def read_ahead(draw: Callable[[int], T], numbers: Sequence[int], workers: int) -> Iterator[T]:
    """``draw(number)`` for each of ``numbers``, in their order.

    With ``workers`` 0 each is drawn when it is asked for; else so many processes draw up to two each in advance. What
    comes out is the same where ``draw`` depends on its argument alone. An error of topokd in a worker is raised here as
    it is, when its turn comes.

    >>> list(read_ahead(lambda number: number**2, range(3, 6), workers=0))
    [9, 16, 25]
    """
    loader = DataLoader(
        _Drawn(draw),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        generator=torch.Generator(),  # its own: the loader must not draw from the caller's random numbers
    )
    for item in loader:
        if isinstance(item, TopokdError):
            raise item
        yield item


class _Drawn(Dataset, Generic[T]):
    def __init__(self, draw: Callable[[int], T]) -> None:
        self.draw = draw

    def __getitem__(self, number: int) -> T | TopokdError:
        try:
            return self.draw(number)
        except TopokdError as error:
            return error
