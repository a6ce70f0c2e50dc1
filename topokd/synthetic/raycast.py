"""Ray casting: the nearest hit of every ray, on solids and on the ground."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from topokd.compiled.jit import jit, jit_no_refcount
from topokd.synthetic.shapes import BOX, CYLINDER


@jit
def _uniform(seed: int, a: int, b: int) -> float:
    """A number in (0, 1) by splitmix64; depends only on the arguments, so the order of evaluation does not matter."""
    z = np.uint64(seed) + np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) / 9007199254740992.0


@jit
def _enter_leave(kind: int, o: np.ndarray, d: np.ndarray) -> tuple[float, float, int]:
    """Parameters t at which the line o + t d enters and leaves a unit shape, and the axis of the entry face.

    The axis is 3 for a curved surface. ``inf, -inf`` if the line misses.
    """
    low, high, face = -np.inf, np.inf, 3
    if kind != BOX:
        flat = kind == CYLINDER  # the round part: x^2 + y^2 <= 1 of a cylinder, x^2 + y^2 + z^2 <= 1 of a ball
        a = d[0] * d[0] + d[1] * d[1]
        b = o[0] * d[0] + o[1] * d[1]
        c = o[0] * o[0] + o[1] * o[1] - 1.0
        if not flat:
            a += d[2] * d[2]
            b += o[2] * d[2]
            c += o[2] * o[2]
        root = b * b - a * c
        if root < 0 or (a == 0 and c > 0):
            return np.inf, -np.inf, 3
        if a > 0:
            root = np.sqrt(root)
            low, high = (-b - root) / a, (-b + root) / a
        if not flat:
            return low, high, 3
    for axis in range(2 if kind == CYLINDER else 0, 3):
        if d[axis] == 0:
            if abs(o[axis]) > 1:
                return np.inf, -np.inf, 3
            continue
        near, far = (-1 - o[axis]) / d[axis], (1 - o[axis]) / d[axis]
        if near > far:
            near, far = far, near
        if near > low:
            low, face = near, axis
        high = min(high, far)
    return (low, high, face) if low <= high else (np.inf, -np.inf, 3)


@jit
def cast_solids(
    origin: Float[np.ndarray, " 3"],
    rays: Float[np.ndarray, "rows cols 3"],
    kind: Int64[np.ndarray, " p"],
    centre: Float[np.ndarray, "p 3"],
    half: Float[np.ndarray, "p 3"],
    rotation: Float[np.ndarray, "p 3 3"],
    fill: Float[np.ndarray, " p"],
    density: Float[np.ndarray, " p"],
    window: Int64[np.ndarray, "p 4"],
    seed: int,
    distance: Float[np.ndarray, "rows cols"],
    hit: Int64[np.ndarray, "rows cols"],
    cosine: Float[np.ndarray, "rows cols"],
) -> None:
    """Find the nearest hit of each ray on p solids; only hits nearer than the present ``distance`` count.

    Args:
        origin: (3,) the sensor, in metres.
        rays: (rows, cols, 3) unit vectors in the axes of the world.
        kind: (p,) see `Shapes`, like the next five.
        centre: (p, 3) metres.
        half: (p, 3) half sizes in metres.
        rotation: (p, 3, 3).
        fill: (p,) share of the surface that is solid.
        density: (p,) hits per metre inside; 0 for a surface.
        window: (p, 4) first row, last row + 1, first column and number of columns (wrapping around) of the rays that
            can reach a solid, from `windows`.
        seed: of the random numbers for ``fill`` and ``density``.
        distance: (rows, cols) metres along the ray; updated for rays that hit a solid.
        hit: (rows, cols) likewise: the row of the solid.
        cosine: (rows, cols) likewise: of the incidence angle.
    """
    cols = distance.shape[1]
    o, d, n = np.empty(3), np.empty(3), np.empty(3)
    for p in range(len(kind)):
        for i in range(3):
            n[i] = origin[i] - centre[p, i]
        _into_unit_shape(n, rotation[p], half[p], o)
        for row in range(window[p, 0], window[p, 1]):
            for step in range(window[p, 3]):
                col = (window[p, 2] + step) % cols
                _into_unit_shape(rays[row, col], rotation[p], half[p], d)
                low, high, face = _enter_leave(kind[p], o, d)
                if high <= 0 or low >= distance[row, col]:
                    continue
                if density[p] > 0:  # leaves: the light continues until it hits one
                    u = _uniform(seed, row * cols + col, 2 * p)
                    t = max(low, 0.0) - np.log(u) / density[p]
                    if t < high and t < distance[row, col]:
                        distance[row, col], hit[row, col] = t, p
                        cosine[row, col] = 0.3 + 0.7 * _uniform(seed, row * cols + col, 2 * p + 1)
                    continue
                if low <= 0 or (fill[p] < 1 and _uniform(seed, row * cols + col, 2 * p) > fill[p]):
                    continue
                distance[row, col], hit[row, col] = low, p
                cosine[row, col] = _cosine_of_incidence(kind[p], face, o, d, half[p], low, n)


@jit_no_refcount
def _into_unit_shape(
    vector: Float[np.ndarray, " 3"],
    rotation: Float[np.ndarray, "3 3"],
    half: Float[np.ndarray, " 3"],
    out: Float[np.ndarray, " 3"],
) -> None:
    """Turn a vector of the world into the axes of a solid and divide it by the solid's half sizes: R^T v / h."""
    for i in range(3):
        out[i] = 0.0
        for j in range(3):
            out[i] += rotation[j, i] * vector[j]
        out[i] /= half[i]


@jit_no_refcount
def _cosine_of_incidence(
    kind: int,
    face: int,
    o: Float[np.ndarray, " 3"],
    d: Float[np.ndarray, " 3"],
    half: Float[np.ndarray, " 3"],
    t: float,
    normal: Float[np.ndarray, " 3"],
) -> float:
    """|n . r| / |n| for the normal n of a solid where the ray o + t d enters it.

    The normal in metres is the gradient of the unit shape's equation, divided by the scale once more. ``face`` is the
    axis of the entry face, 3 for a curved surface; ``normal`` is overwritten.
    """
    length, dot = 0.0, 0.0
    for i in range(3):
        if face == 3:
            normal[i] = (o[i] + t * d[i]) / half[i]
        else:
            normal[i] = 1.0 if i == face else 0.0
    if face == 3 and kind == CYLINDER:
        normal[2] = 0.0
    for i in range(3):
        length += normal[i] * normal[i]
        dot += normal[i] * d[i] * half[i]
    return abs(dot) / np.sqrt(length)


@jit
def cast_ground(
    origin: Float[np.ndarray, " 3"],
    rays: Float[np.ndarray, "rows cols 3"],
    height: Float[np.ndarray, "nx ny"],
    corner: Float[np.ndarray, " 2"],
    cell: float,
    distance: Float[np.ndarray, "rows cols"],
    hit: Int64[np.ndarray, "rows cols"],
    cosine: Float[np.ndarray, "rows cols"],
) -> None:
    """Find the hit of each ray on the ground, if it is nearer than the present ``distance``.

    A ray advances in steps of one cell, slightly longer far away, until it is below the ground.

    Args:
        origin: (3,) the sensor, in metres.
        rays: (rows, cols, 3) unit vectors in the axes of the world.
        height: (nx, ny) metres, of each cell.
        corner: (2,) x and y of the corner of the first cell, in metres.
        cell: edge of a cell in metres.
        distance: (rows, cols) metres along the ray; updated for rays that hit the ground.
        hit: (rows, cols) likewise: -2 - (index of the cell).
        cosine: (rows, cols) likewise: of the incidence angle.
    """
    rows, cols = distance.shape
    nx, ny = height.shape
    top = height.max()
    for row in range(rows):
        for col in range(cols):
            dx, dy, dz = rays[row, col]
            level = np.sqrt(dx * dx + dy * dy)
            end = distance[row, col]
            t = 0.0
            if origin[2] > top:  # start at the height of the highest ground
                if dz >= 0:
                    continue
                t = (top - origin[2]) / dz
            previous, above = t, 1.0
            while t < end:
                i = int((origin[0] + t * dx - corner[0]) / cell)
                j = int((origin[1] + t * dy - corner[1]) / cell)
                if i < 1 or j < 1 or i >= nx - 1 or j >= ny - 1:
                    break
                gap = origin[2] + t * dz - height[i, j]
                if gap <= 0:
                    t = previous + (t - previous) * above / (above - gap) if t > previous else t
                    i = int((origin[0] + t * dx - corner[0]) / cell)
                    j = int((origin[1] + t * dy - corner[1]) / cell)
                    slope_x = (height[i + 1, j] - height[i - 1, j]) / (2 * cell)
                    slope_y = (height[i, j + 1] - height[i, j - 1]) / (2 * cell)
                    steep = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
                    distance[row, col], hit[row, col] = t, -2 - (i * ny + j)
                    cosine[row, col] = abs(slope_x * dx + slope_y * dy - dz) / steep
                    break
                previous, above = t, gap
                t += (cell + 0.002 * t) / level


def windows(
    centre: Float[np.ndarray, "p 3"],
    radius: Float[np.ndarray, " p"],
    corners: Float[np.ndarray, "p 8 3"],
    elevation: Float[np.ndarray, " rows"],
    azimuths: int,
) -> Int64[np.ndarray, "p 4"]:
    """Rows and columns of the rays that can reach each solid; all coordinates are in the frame of the sensor.

    Rows follow from the bounding ball, columns from the azimuths of the bounding box, with a margin of one column.

    Args:
        centre: (p, 3) centres of the solids in metres.
        radius: (p,) radius of their bounding balls.
        corners: (p, 8, 3) corners of their bounding boxes.
        elevation: (rows,) radians of the beams.
        azimuths: number of columns.
    """
    away = np.sqrt((centre**2).sum(axis=1))
    middle = np.arcsin(np.clip(centre[:, 2] / np.maximum(away, 1e-9), -1, 1))
    spread = np.where(away > radius, np.arcsin(np.minimum(radius / np.maximum(away, 1e-9), 1.0)), np.pi)
    margin = np.deg2rad(0.2)
    rising = elevation[::-1]
    rows = len(elevation)
    first = rows - np.searchsorted(rising, middle + spread + margin, side="right")
    last = rows - np.searchsorted(rising, middle - spread - margin, side="left")

    level = np.arctan2(centre[:, 1], centre[:, 0])
    relative = np.arctan2(corners[..., 1], corners[..., 0]) - level[:, None]
    relative = (relative + np.pi) % (2 * np.pi) - np.pi
    left, right = level + relative.max(axis=1), level + relative.min(axis=1)
    around = (left - right > np.pi * 0.9) | (np.hypot(centre[:, 0], centre[:, 1]) < 0.5)
    step = 2 * np.pi / azimuths
    begin = np.floor((np.pi - left) / step).astype(np.int64) - 1
    count = np.ceil((left - right) / step).astype(np.int64) + 3
    begin, count = np.where(around, 0, begin), np.where(around, azimuths, np.minimum(count, azimuths))
    return np.stack((first, last, begin % azimuths, count), axis=1)
