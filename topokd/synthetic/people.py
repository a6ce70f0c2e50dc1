"""People on foot and on two wheels."""

from __future__ import annotations

from functools import partial

import numpy as np

from topokd.synthetic.shapes import BOX, CYLINDER, ELLIPSOID, Pose, Shapes, X, Y, turn


def person(shapes: Shapes, place: Pose, rng: np.random.Generator, moving: bool = False) -> None:
    """Add a pedestrian: head, torso, two legs in mid-step, two arms, and occasionally a bag or a pram.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        moving: whether the class is that of moving persons.
    """
    raw, number = 254 if moving else 30, shapes.new_instance()
    size = rng.uniform(0.88, 1.08) * (0.68 if rng.random() < 0.12 else 1.0)
    stride = float(rng.uniform(0.15, 0.45)) if moving else float(rng.uniform(0.0, 0.15))
    top, legs, skin = (float(a) for a in (rng.uniform(0.2, 0.65), rng.uniform(0.1, 0.6), rng.uniform(0.35, 0.5)))

    def part(
        kind: int, centre: tuple[float, ...], extent: tuple[float, ...], albedo: float, pitch: float = 0.0
    ) -> None:
        c, e = size * np.array(centre), size * np.array(extent)
        shapes.add(kind, place, c, e, raw, albedo, tilt=turn(Y, pitch), instance=number)

    part(ELLIPSOID, (0, 0, 1.62), (0.2, 0.17, 0.25), skin)
    part(ELLIPSOID, (0, 0, 1.16), (0.3, 0.46, 0.72), top)
    for side in (-1, 1):
        swing = side * stride
        part(CYLINDER, (np.sin(-swing) * 0.4, side * 0.1, 0.43), (0.15, 0.15, 0.88), legs, swing)
        part(CYLINDER, (np.sin(swing) * 0.3, side * 0.27, 1.12), (0.1, 0.1, 0.6), top, -swing)
    if rng.random() < 0.25:
        part(BOX, (-0.2, 0, 1.2), (0.2, 0.3, 0.45), float(rng.uniform(0.1, 0.6)))
    if rng.random() < 0.06:
        part(BOX, (0.75, 0, 0.65), (0.75, 0.45, 0.5), 0.3)


def rider(
    shapes: Shapes, place: Pose, rng: np.random.Generator, raw: int, number: int, seat: float, lean: float
) -> None:
    """Add a rider seated ``seat`` metres above the ground, leaning forward by ``lean`` radians.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        raw: SemanticKITTI class id.
        number: number of the object.
        seat: metres above the ground.
        lean: Radians.
    """
    albedo = float(rng.uniform(0.15, 0.6))
    tilt = turn(Y, lean)
    hip, shoulder = np.array([0.0, 0.0, seat]), np.array([np.sin(lean), 0.0, np.cos(lean)]) * 0.6
    torso, head = hip + shoulder * 0.55, hip + shoulder * 1.4
    part = partial(shapes.add, raw=raw, instance=number)
    part(ELLIPSOID, place, tuple(torso), (0.28, 0.44, 0.7), albedo=albedo, tilt=tilt)
    part(ELLIPSOID, place, tuple(head), (0.24, 0.2, 0.27), albedo=float(rng.uniform(0.3, 0.6)))
    for side in (-1, 1):
        arm = hip + shoulder + np.array([0.2, side * 0.24, -0.18])
        part(CYLINDER, place, tuple(arm), (0.1, 0.1, 0.55), albedo=albedo, tilt=turn(Y, lean + 0.9))
        swing = float(rng.uniform(0.2, 0.9))
        thigh = hip + np.array([0.2, side * 0.13, -0.12])
        part(CYLINDER, place, tuple(thigh), (0.16, 0.16, 0.48), albedo=0.25, tilt=turn(Y, 1.2 - 0.3 * side))
        shin = np.array([0.25 + 0.1 * side * swing, side * 0.13, seat - 0.5])
        tilt_shin = turn(X, 0.0) @ turn(Y, -0.1 + 0.2 * side * swing)
        part(CYLINDER, place, tuple(shin), (0.13, 0.13, 0.5), albedo=0.25, tilt=tilt_shin)
