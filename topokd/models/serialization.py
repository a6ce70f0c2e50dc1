"""Space-filling curves: one integer per voxel, such that voxels close on the curve are close in space.

A voxel (x, y, z) of a grid with ``2**depth`` cells per side gets a code of ``3 * depth`` bits, three per level of the
octree. ``z`` interleaves the bits of x, y and z, ``hilbert`` orders the octants so that consecutive voxels touch, and
``-trans`` swaps x and y first. On every curve, a code shifted right by three bits is the code of the parent voxel one
octree level up; pooling relies on this.

The Hilbert code is computed from the z code by a finite automaton, three octree levels (nine bits) per step. Its state
is the orientation of the curve in the current octant: the role of each input axis, the mirrored roles, and the carry of
the Gray code. `topokd.models.reference.encode` is the slow version that follows the textbook bit by bit.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Int64
from torch import Tensor

CURVES = ("z", "z-trans", "hilbert", "hilbert-trans")
MAX_DEPTH = 16  # bits per axis; the published networks have the same limit
_SPREAD = ((16, 0x00FF0000FF0000FF), (8, 0x700F00F00F00F00F), (4, 0x30C30C30C30C30C3), (2, 0x1249249249249249))
_X, _Y, _Z = 0x4924924924924924, 0x2492492492492492, 0x1249249249249249


def encode(grid_coord: Int64[Tensor, "n 3"], depth: int | Int64[Tensor, " n"], curve: str) -> Int64[Tensor, " n"]:
    """Code of each voxel on a curve.

    Args:
        grid_coord: (n, 3) voxel indices, at least 0.
        depth: number of octree levels, one for all voxels or (n,). The z curves do not depend on it; the Hilbert curve
            starts in another orientation.
        curve: one of `CURVES`.

    Returns:
        (n,) codes.

    Raises:
        ValueError: unknown curve.

    Examples:
        >>> encode(torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 1]]), 1, "z").tolist()
        [0, 4, 7]
        >>> encode(torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 1]]), 1, "hilbert").tolist()
        [0, 7, 5]
    """
    return curve_from_z(interleave(grid_coord), depth, curve)


def interleave(grid_coord: Int64[Tensor, "n 3"]) -> Int64[Tensor, " n"]:
    """The z code: the bits of x, y and z interleaved, from high to low."""
    spread = grid_coord
    for shift, mask in _SPREAD:
        spread = (spread | (spread << shift)) & mask
    x, y, z = spread.unbind(1)
    return (x << 2) | (y << 1) | z


def curve_from_z(z: Int64[Tensor, " n"], depth: int | Int64[Tensor, " n"], curve: str) -> Int64[Tensor, " n"]:
    """Codes on ``curve`` of voxels given by their z codes; otherwise as `encode`.

    Args:
        z: (n,) z codes.
        depth: bits per axis, one for all voxels or (n,).
        curve: a name in `CURVES`.

    Raises:
        ValueError: the curve is unknown.
    """
    if curve not in CURVES:
        raise ValueError(f"unknown curve {curve!r}: choose one of {', '.join(CURVES)}")
    if curve.endswith("-trans"):
        z = ((z & _X) >> 1) | ((z & _Y) << 1) | (z & _Z)
    return _hilbert_from_z(z, depth) if curve.startswith("hilbert") else z


def _hilbert_from_z(z: Tensor, depth: int | Tensor) -> Tensor:
    table = _hilbert_table().to(z.device)
    deepest = depth if isinstance(depth, int) else int(depth.max()) if depth.numel() else 0
    levels = 3 * max(-(-deepest // 3), 1)
    # Octant 0 rotates the curve and three of them restore it, so leading zeros change the start state and nothing else.
    turns = torch.as_tensor(depth, device=z.device) % 3
    state = turns.expand(z.shape)  # _hilbert_table numbers the three start states by depth modulo 3
    code = torch.zeros_like(z)
    for shift in range(3 * (levels - 3), -1, -9):
        entry = table.index_select(0, (state << 9) | ((z >> shift) & 511))
        code = (code << 9) | (entry & 511)
        state = entry >> 9
    return code


@functools.cache
def _hilbert_table() -> Tensor:
    """``table[state << 9 | octants of three levels] = next state << 9 | code digits of three levels``."""
    begin = ((0, 1, 2), (0, 0, 0), 0)
    states = [begin]  # (input axis of each role, is the role mirrored, carry)
    moves: dict[tuple, list[tuple[int, tuple]]] = {}
    for state in states:  # grows during iteration
        moves[state] = [_hilbert_step(state, octant) for octant in range(8)]
        states.extend(s for s in dict.fromkeys(after for _, after in moves[state]) if s not in states)
    once = moves[begin][0][1]
    twice = moves[once][0][1]
    # depth % 3 == 0 starts as written; 1 has two leading zero levels before it, 2 has one.
    numbered = [begin, once, twice, *(s for s in states if s not in (begin, once, twice))]
    index = {state: i for i, state in enumerate(numbered)}
    digit = torch.tensor([[d for d, _ in moves[s]] for s in numbered])
    after = torch.tensor([[index[t] for _, t in moves[s]] for s in numbered])
    at = torch.arange(len(numbered))[:, None].expand(-1, 512)
    octants = torch.arange(512).expand(len(numbered), -1)
    code = torch.zeros_like(octants)
    for shift in (6, 3, 0):
        octant = (octants >> shift) & 7
        code = (code << 3) | digit[at, octant]
        at = after[at, octant]
    return ((at << 9) | code).reshape(-1)


def _hilbert_step(state: tuple, octant: int) -> tuple[int, tuple]:
    """One level of the curve: the code digit of ``octant`` and the state inside it."""
    axes, mirrored, carry = state
    bit = [((octant >> (2 - axis)) & 1) ^ flip for axis, flip in zip(axes, mirrored, strict=True)]
    axes, mirrored = list(axes), list(mirrored)
    for role in range(3):
        if bit[role]:
            mirrored[0] ^= 1
        else:
            axes[0], axes[role] = axes[role], axes[0]
            mirrored[0], mirrored[role] = mirrored[role], mirrored[0]
    digit = 0
    for b in bit:  # Gray code to binary, the carry coming from the level above
        carry ^= b
        digit = digit << 1 | carry
    return digit, (tuple(axes), tuple(mirrored), carry)
