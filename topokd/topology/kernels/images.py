"""Persistence images and their gradients: products of Gaussians of births and of persistences."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit


@jit
def image(pairs, columns, rows, bandwidth, power):  # type: ignore[no-untyped-def]
    """The image (r, s), and what its gradient needs: Gaussians (k, s) and (k, r), weights (k,).

    Args:
        pairs: (k, 2) births and deaths.
        columns: (s,) births of the pixels.
        rows: (r,) their persistences.
        bandwidth: h.
        power: exponent of the weights.
    """
    count, width, height = len(pairs), len(columns), len(rows)
    across, up, weights = np.empty((count, width)), np.empty((count, height)), np.empty(count)
    pixels = np.zeros((height, width))
    unit = 1 / (bandwidth * np.sqrt(2 * np.pi))
    for k in range(count):
        birth, persistence = pairs[k, 0], pairs[k, 1] - pairs[k, 0]
        weights[k] = 1.0 if power == 0 else (persistence**power if persistence > 0 else 0.0)
        for s in range(width):
            across[k, s] = unit * np.exp(-(((birth - columns[s]) / bandwidth) ** 2) / 2)
        for r in range(height):
            up[k, r] = unit * np.exp(-(((persistence - rows[r]) / bandwidth) ** 2) / 2)
            factor = weights[k] * up[k, r]
            for s in range(width):
                pixels[r, s] += factor * across[k, s]
    return pixels, across, up, weights


@jit
def image_gradient(pairs, columns, rows, bandwidth, power, across, up, weights, gradient):  # type: ignore[no-untyped-def]
    """Gradient of the pairs from that of the pixels.

    Args:
        pairs: (k, 2) births and deaths.
        columns: (s,) births of the pixels.
        rows: (r,) their persistences.
        bandwidth: h.
        power: exponent of the weights.
        across: (k, s) Gaussians, from `image`.
        up: (k, r) Gaussians, likewise.
        weights: (k,) likewise.
        gradient: (r, s) gradient of the pixels.

    Returns:
        (k, 2).
    """
    out = np.empty(pairs.shape)
    of_across = np.empty(len(columns))
    for k in range(len(pairs)):
        birth, persistence = pairs[k, 0], pairs[k, 1] - pairs[k, 0]
        of_birth = of_persistence = of_weight = 0.0
        of_across[:] = 0.0
        for r in range(len(rows)):
            of_up = 0.0
            for s in range(len(columns)):
                of_up += gradient[r, s] * across[k, s]
                of_across[s] += gradient[r, s] * up[k, r]
            of_weight += of_up * up[k, r]
            of_persistence -= of_up * up[k, r] * (persistence - rows[r])
        for s in range(len(columns)):
            of_birth -= of_across[s] * across[k, s] * (birth - columns[s])
        of_birth *= weights[k] / bandwidth**2
        of_persistence *= weights[k] / bandwidth**2
        if power == 1 or (
            power != 0 and persistence > 0
        ):  # as `raised`: on the diagonal only a linear weight has a slope
            of_persistence += of_weight * power * persistence ** (power - 1)
        out[k, 0], out[k, 1] = of_birth - of_persistence, of_persistence
    return out
