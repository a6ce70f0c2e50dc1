"""Roadside objects: buildings, fences, plants, poles, signs and clutter."""

from __future__ import annotations

import numpy as np

from topokd.synthetic.shapes import BOX, CYLINDER, ELLIPSOID, Pose, Shapes, X, Y, turn

BUILDING, FENCE, VEGETATION, TRUNK, POLE, SIGN, CLUTTER, STRUCTURE = 50, 51, 70, 71, 80, 81, 99, 52


def building(
    shapes: Shapes, place: Pose, rng: np.random.Generator, width: float, depth: float, height: float, pitched: bool
) -> None:
    """Add a building; ``place`` is the middle of its facade, with x along it and y away from the street.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        width: metres along the facade.
        depth: metres away from the street.
        height: metres up to the eaves.
        pitched: whether it has a pitched roof.
    """
    wall = float(rng.uniform(0.3, 0.6))
    shapes.add(BOX, place, (0, depth / 2, height / 2 - 0.5), (width, depth, height + 1), BUILDING, wall)
    shapes.add(BOX, place, (0, depth / 2, 0.15), (width + 0.1, depth + 0.1, 0.9), BUILDING, wall * 0.75)
    if pitched:
        for side in (-1, 1):
            centre, size = (0, depth / 2 + side * depth * 0.24, height + depth * 0.16), (width + 0.5, depth * 0.66, 0.2)
            shapes.add(BOX, place, centre, size, BUILDING, 0.25, tilt=turn(X, -side * 0.6))
    storeys = max(int(height // 2.9), 1)
    columns = max(int(width // 2.6), 1)
    for storey in range(min(storeys, 3)):  # as high as the beams reach
        for column in range(columns):
            x = (column + 0.5) / columns * width - width / 2
            if rng.random() < 0.15:
                continue
            door = storey == 0 and rng.random() < 0.25
            z, size = (1.05, (1.0, 0.12, 2.1)) if door else (1.6 + 2.9 * storey, (1.2, 0.08, 1.35))
            shapes.add(BOX, place, (x, 0.0, z), size, BUILDING, 0.2, loss=0.1 if door else 0.5)
            if not door:
                shapes.add(BOX, place, (x, -0.06, z - 0.72), (1.4, 0.2, 0.08), BUILDING, wall)
    if rng.random() < 0.3 and height > 5:
        for storey in range(1, storeys):
            x = float(rng.uniform(-0.3, 0.3)) * width
            shapes.add(BOX, place, (x, -0.6, 2.9 * storey), (2.6, 1.2, 0.15), BUILDING, wall)
            shapes.add(BOX, place, (x, -1.17, 2.9 * storey + 0.5), (2.6, 0.05, 0.9), BUILDING, wall * 0.8, fill=0.6)
    if rng.random() < 0.25:  # climbing plants
        x, up = float(rng.uniform(-0.4, 0.4)) * width, float(rng.uniform(1.5, 4))
        size = (float(rng.uniform(1, 3)), 0.5, up)
        shapes.add(BOX, place, (x, -0.15, up / 2), size, VEGETATION, 0.38, density=4.0)
    if rng.random() < 0.3:
        shapes.add(BOX, place, (float(rng.uniform(-0.3, 0.3)) * width, -0.5, 0.1), (1.6, 1.1, 0.5), BUILDING, wall)


def fence(shapes: Shapes, place: Pose, rng: np.random.Generator, length: float) -> None:
    """Add a wall, boards, a railing, wire or a guard rail along the x axis of ``place``.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        length: Metres.
    """
    style = rng.choice(5, p=(0.25, 0.3, 0.2, 0.15, 0.1))
    height = float(rng.uniform(0.9, 1.9)) if style < 4 else 0.8
    albedo = float(rng.uniform(0.25, 0.55))
    if style == 0:  # a wall
        shapes.add(BOX, place, (0, 0, height / 2 - 0.2), (length, 0.25, height + 0.4), FENCE, albedo)
    elif style == 1:  # boards with gaps
        for z in np.arange(0.15, height, 0.22):
            shapes.add(BOX, place, (0, 0, float(z)), (length, 0.04, 0.17), FENCE, albedo, fill=0.92)
    elif style == 4:  # guard rail
        shapes.add(BOX, place, (0, 0, 0.6), (length, 0.08, 0.32), FENCE, 0.4)
    else:
        fill = 0.45 if style == 2 else 0.3
        shapes.add(BOX, place, (0, 0, height / 2), (length, 0.05, height), FENCE, albedo * 0.8, fill=fill)
        if style == 2:
            shapes.add(BOX, place, (0, 0, 0.1), (length, 0.2, 0.5), FENCE, albedo)
    if style > 0:
        for x in np.arange(-length / 2, length / 2 + 0.01, 2.5):
            shapes.add(BOX, place, (float(x), 0, height / 2), (0.1, 0.1, height + 0.1), FENCE, albedo)


def hedge(shapes: Shapes, place: Pose, rng: np.random.Generator, length: float, height: float) -> None:
    """Add a trimmed hedge along the x axis of ``place``: a leafy box with an uneven outline.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        length: Metres.
        height: Metres.
    """
    albedo = float(rng.uniform(0.34, 0.48))
    shapes.add(BOX, place, (0, 0, height / 2), (length, 0.7, height), VEGETATION, albedo, density=6.0)
    for x in np.arange(-length / 2 + 0.6, length / 2, 1.3):
        size = (1.5, float(rng.uniform(0.8, 1.3)), height * float(rng.uniform(0.8, 1.15)))
        shapes.add(ELLIPSOID, place, (float(x), 0, height * 0.5), size, VEGETATION, albedo, density=5.0)


def bush(shapes: Shapes, place: Pose, rng: np.random.Generator, size: float) -> None:
    """Add a bush: a few leafy balls.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        size: extent in metres, on average.
    """
    albedo = float(rng.uniform(0.34, 0.5))
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.normal(size=2) * 0.35 * size
        extent = tuple(float(v) for v in rng.uniform(0.6, 1.2, 3) * size)
        centre = (float(x), float(y), extent[2] * 0.4)
        shapes.add(ELLIPSOID, place, centre, extent, VEGETATION, albedo, density=float(rng.uniform(1.5, 4.0)))


def tree(shapes: Shapes, place: Pose, rng: np.random.Generator, size: float) -> None:
    """Add a tree: a leaning trunk, two boughs and a crown of leafy balls; or a conifer with low branches.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        size: height in metres.
    """
    albedo, bark = float(rng.uniform(0.34, 0.5)), float(rng.uniform(0.32, 0.5))
    radius, clear = 0.04 + 0.026 * size * rng.uniform(0.6, 1.3), size * rng.uniform(0.14, 0.36)
    conifer = rng.random() < 0.2
    lean, towards = float(rng.normal() * 0.05), float(rng.uniform(0, 6.3))
    tilt = turn(np.array([np.cos(towards), np.sin(towards), 0.0]), lean)
    stem = size * 0.65
    shapes.add(CYLINDER, place, (0, 0, stem / 2 - 0.1), (2 * radius, 2 * radius, stem), TRUNK, bark, tilt=tilt)
    shapes.add(CYLINDER, place, (0, 0, 0.1), (2.6 * radius, 2.6 * radius, 0.5), TRUNK, bark)
    if conifer:
        for step in range(5):
            z, wide = 0.8 + step * size * 0.19, size * 0.42 * (1 - step / 6)
            shapes.add(ELLIPSOID, place, (0, 0, z), (wide, wide, size * 0.26), VEGETATION, albedo, density=2.5)
        return
    for _ in range(2):
        yaw, rise = float(rng.uniform(0, 6.3)), float(rng.uniform(0.5, 0.9))
        bough = turn(np.array([0.0, 0.0, 1.0]), yaw) @ turn(Y, rise)
        reach = size * 0.16
        centre = tuple(np.array([0, 0, clear]) + bough @ np.array([0, 0, reach]))
        shapes.add(CYLINDER, place, centre, (radius, radius, 2 * reach), TRUNK, bark, tilt=bough)
    for _ in range(int(rng.integers(6, 11))):
        x, y = rng.normal(size=2) * 0.16 * size
        wide = size * float(rng.uniform(0.25, 0.45))
        z = clear + size * float(rng.uniform(0.08, 0.5))
        extent = (wide, wide, wide * float(rng.uniform(0.6, 0.9)))
        shapes.add(
            ELLIPSOID, place, (float(x), float(y), z), extent, VEGETATION, albedo, density=float(rng.uniform(0.9, 2.0))
        )


def lamp(shapes: Shapes, place: Pose, rng: np.random.Generator) -> None:
    """Add a street lamp with its arm along the x axis of ``place``."""
    height, albedo = float(rng.uniform(4.5, 8.0)), float(rng.uniform(0.1, 0.4))
    wide = float(rng.uniform(0.12, 0.22))
    shapes.add(CYLINDER, place, (0, 0, height / 2), (wide, wide, height), POLE, albedo)
    shapes.add(CYLINDER, place, (0, 0, 0.4), (wide * 1.5, wide * 1.5, 1.0), POLE, albedo)
    shapes.add(BOX, place, (0.7, 0, height), (1.6, 0.12, 0.1), POLE, albedo)


def pole(shapes: Shapes, place: Pose, rng: np.random.Generator) -> None:
    """Add a wooden mast, a traffic light or a bollard."""
    style = rng.choice(3, p=(0.3, 0.3, 0.4))
    wide, height = ((0.28, 7.5), (0.14, 3.2), (0.14, 0.9))[style]
    shapes.add(CYLINDER, place, (0, 0, height / 2), (wide, wide, height), POLE, float(rng.uniform(0.15, 0.45)))
    if style == 1:
        shapes.add(BOX, place, (0.1, 0, 2.75), (0.3, 0.3, 0.9), CLUTTER, 0.12)


def sign(shapes: Shapes, place: Pose, rng: np.random.Generator) -> None:
    """Add a thin post with one or two plates facing the x axis of ``place``: bright in front, grey behind."""
    height = float(rng.uniform(2.1, 2.9))
    shapes.add(CYLINDER, place, (0, 0, height / 2), (0.08, 0.08, height), POLE, float(rng.uniform(0.15, 0.4)))
    side, bright = float(rng.uniform(0.5, 0.75)), float(rng.uniform(0.45, 1.1))
    for index in range(1 + int(rng.random() < 0.3)):
        z = height - side / 2 - index * (side + 0.05)
        if rng.random() < 0.5:
            round_plate = turn(Y, np.pi / 2)
            shapes.add(CYLINDER, place, (0.07, 0, z), (side, side, 0.02), SIGN, bright, tilt=round_plate)
            shapes.add(CYLINDER, place, (0.045, 0, z), (side, side, 0.02), SIGN, 0.25, tilt=round_plate)
        else:
            shapes.add(BOX, place, (0.07, 0, z), (0.02, side, side * 0.9), SIGN, bright)
            shapes.add(BOX, place, (0.045, 0, z), (0.02, side, side * 0.9), SIGN, 0.25)


def signboard(shapes: Shapes, place: Pose, rng: np.random.Generator) -> None:
    """Add a large direction sign on two posts."""
    wide, low = float(rng.uniform(1.8, 3.2)), float(rng.uniform(1.2, 2.0))
    for y in (-wide / 3, wide / 3):
        shapes.add(CYLINDER, place, (0, y, low / 2 + 0.5), (0.1, 0.1, low + 1), POLE, 0.3)
    shapes.add(BOX, place, (0.09, 0, low + 0.6), (0.04, wide, 1.2), SIGN, 1.0)
    shapes.add(BOX, place, (0.05, 0, low + 0.6), (0.04, wide, 1.2), SIGN, 0.25)


def clutter(shapes: Shapes, place: Pose, rng: np.random.Generator) -> None:
    """Add an object without a class: a bin, a cabinet, a bench or a bus shelter."""
    style = rng.choice(4, p=(0.4, 0.25, 0.2, 0.15))
    albedo = float(rng.uniform(0.1, 0.5))
    if style == 0:
        shapes.add(BOX, place, (0, 0, 0.55), (0.6, 0.6, 1.1), CLUTTER, albedo)
    elif style == 1:
        shapes.add(BOX, place, (0, 0, 0.6), (1.1, 0.4, 1.2), CLUTTER, albedo)
    elif style == 2:
        shapes.add(BOX, place, (0, 0, 0.45), (1.6, 0.45, 0.08), CLUTTER, albedo)
        shapes.add(BOX, place, (0, 0.2, 0.75), (1.6, 0.06, 0.4), CLUTTER, albedo, fill=0.7)
    else:
        shapes.add(BOX, place, (0, 0.7, 1.2), (3.2, 0.06, 2.2), STRUCTURE, 0.2, loss=0.5)
        shapes.add(BOX, place, (0, 0, 2.4), (3.4, 1.5, 0.12), STRUCTURE, 0.3)
        shapes.add(BOX, place, (-1.6, 0, 1.2), (0.06, 1.4, 2.2), STRUCTURE, 0.2, loss=0.5)
