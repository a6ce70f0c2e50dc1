"""Cars, trucks, buses, trailers and two-wheelers, parked and moving."""

from __future__ import annotations

from functools import partial

import numpy as np

from topokd.synthetic.people import rider
from topokd.synthetic.shapes import BOX, CYLINDER, ELLIPSOID, Pose, Shapes, X, Y, turn

GLASS = 0.55
"""Share of the returns that window glass loses."""


def _wheels(
    shapes: Shapes, place: Pose, axles: tuple[float, ...], track: float, diameter: float, raw: int, number: int
) -> None:
    for x in axles:
        for y in (-track / 2, track / 2):
            centre, size = (x, y, diameter / 2), (diameter, diameter, 0.22)
            shapes.add(CYLINDER, place, centre, size, raw, 0.08, tilt=turn(X, np.pi / 2), instance=number)


def car(shapes: Shapes, place: Pose, rng: np.random.Generator, moving: bool = False) -> None:
    """Add a saloon, estate, small car or van: body, bonnet, cabin with slanted windows, wheels, number plates.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        moving: whether its class is that of moving cars.
    """
    raw, number = 252 if moving else 10, shapes.new_instance()
    style = rng.choice(4, p=(0.35, 0.3, 0.2, 0.15))
    length = (4.6, 4.5, 3.7, 4.9)[style] * rng.uniform(0.94, 1.06)
    width = (1.8, 1.8, 1.65, 1.95)[style] * rng.uniform(0.96, 1.04)
    height = (1.45, 1.5, 1.5, 1.95)[style] * rng.uniform(0.96, 1.05)
    belt = 0.58 * height if style < 3 else 0.55 * height
    paint = float(rng.choice((0.04, 0.07, 0.12, 0.25, 0.45, 0.6), p=(0.25, 0.25, 0.2, 0.12, 0.1, 0.08)))
    loss = 0.25 if paint < 0.1 else 0.08
    part = partial(shapes.add, raw=raw, instance=number)
    part(BOX, place, (0, 0, (0.2 + belt) / 2), (length * 0.94, width, belt - 0.2), albedo=paint, loss=loss)
    for end in (-1, 1):  # rounded nose and tail
        centre, size = (end * length * 0.44, 0, (0.25 + belt) / 2), (length * 0.13, width * 0.96, belt - 0.25)
        part(ELLIPSOID, place, centre, size, albedo=paint, loss=loss)
        plate = (end * length * 0.502, 0, 0.5), (0.03, 0.5, 0.12)
        part(BOX, place, *plate, albedo=0.9)
    front = (0.18, 0.2, 0.22, 0.32)[style] * length  # where the roof begins and ends, from the middle
    rear = (-0.25, -0.44, -0.4, -0.47)[style] * length
    roof = height - belt
    middle, span = (front + rear) / 2, front - rear
    part(BOX, place, (middle, 0, height - 0.06), (span * 0.9, width * 0.8, 0.1), albedo=paint, loss=loss)
    size = (span * 0.92, width * 0.86, roof)
    part(BOX, place, (middle, 0, belt + roof / 2 - 0.03), size, albedo=0.1, loss=GLASS)
    slant = float(np.arctan2(0.16 * length, roof))
    for end, at in ((1, front), (-1, rear)):
        if style > 0 and end < 0:
            continue  # a steep tail
        centre, size = (at + end * 0.02 * length, 0, belt + roof / 2 - 0.04), (0.05, width * 0.8, roof / np.cos(slant))
        part(BOX, place, centre, size, albedo=0.12, loss=GLASS, tilt=turn(Y, -end * slant))
    _wheels(shapes, place, (-0.31 * length, 0.31 * length), width - 0.15, 0.62, raw, number)


def truck(shapes: Shapes, place: Pose, rng: np.random.Generator, moving: bool = False) -> None:
    """Add a truck: a cab and a closed or open load area on high wheels.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        moving: whether its class is that of moving trucks.
    """
    raw, number = 258 if moving else 18, shapes.new_instance()
    length, width = rng.uniform(6.0, 9.5), rng.uniform(2.2, 2.5)
    top, paint = rng.uniform(2.7, 3.6), float(rng.uniform(0.15, 0.55))
    part = partial(shapes.add, raw=raw, instance=number)
    cab = rng.uniform(1.7, 2.1)
    part(BOX, place, (length / 2 - cab / 2, 0, 1.55), (cab, width * 0.95, 2.2), albedo=paint * 0.8, loss=0.1)
    size = (0.05, width * 0.8, 0.8)
    part(BOX, place, (length / 2 + 0.01, 0, 1.95), size, albedo=0.1, loss=GLASS)
    load, floor = length - cab - 0.3, 1.05
    if rng.random() < 0.7:
        centre, size = (-length / 2 + load / 2, 0, (floor + top) / 2), (load, width, top - floor)
        part(BOX, place, centre, size, albedo=paint, loss=0.04)
    else:
        part(BOX, place, (-length / 2 + load / 2, 0, floor), (load, width, 0.2), albedo=0.2)
        for side in (-1, 1):
            rail = (-length / 2 + load / 2, side * width / 2, floor + 0.3)
            part(BOX, place, rail, (load, 0.06, 0.6), albedo=paint)
    part(BOX, place, (0, 0, 0.75), (length * 0.9, 0.9, 0.3), albedo=0.1)
    _wheels(shapes, place, (-0.3 * length, 0.36 * length), width - 0.3, 0.95, raw, number)


def bus(shapes: Shapes, place: Pose, rng: np.random.Generator, moving: bool = False) -> None:
    """Add a bus (class "other vehicle"): a long body with a band of windows.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        moving: whether its class is that of moving vehicles.
    """
    raw, number = 257 if moving else 13, shapes.new_instance()
    length, paint = rng.uniform(9.0, 12.0), float(rng.uniform(0.2, 0.6))
    part = partial(shapes.add, raw=raw, instance=number)
    part(BOX, place, (0, 0, 0.85), (length, 2.5, 1.1), albedo=paint, loss=0.05)
    part(BOX, place, (0, 0, 1.9), (length - 0.1, 2.46, 1.0), albedo=0.15, loss=GLASS)
    part(BOX, place, (0, 0, 2.7), (length, 2.5, 0.6), albedo=paint, loss=0.05)
    for x in np.linspace(-length / 2, length / 2, 6):
        part(BOX, place, (float(x) * 0.99, 0, 1.9), (0.12, 2.5, 1.0), albedo=paint)
    _wheels(shapes, place, (-0.3 * length, 0.33 * length), 2.35, 0.95, raw, number)


def trailer(shapes: Shapes, place: Pose, rng: np.random.Generator) -> None:
    """Add a trailer (class "other vehicle"): a caravan or a small open trailer, with its drawbar."""
    raw, number = 20, shapes.new_instance()
    part = partial(shapes.add, raw=raw, instance=number)
    caravan = rng.random() < 0.6
    length, width = (rng.uniform(4.0, 5.5), 2.15) if caravan else (rng.uniform(2.0, 3.0), 1.5)
    albedo = float(rng.uniform(0.35, 0.6)) if caravan else 0.25
    height = 2.0 if caravan else 0.5
    part(BOX, place, (0, 0, 0.5 + height / 2), (length, width, height), albedo=albedo)
    if caravan:
        for side in (-1, 1):
            window = (0.2 * length, side * width / 2, 1.7), (1.2, 0.05, 0.6)
            part(BOX, place, *window, albedo=0.1, loss=GLASS)
    part(BOX, place, (length / 2 + 0.5, 0, 0.45), (1.0, 0.12, 0.12), albedo=0.2)
    _wheels(shapes, place, (0.0,), width - 0.1, 0.6, raw, number)


def bicycle(shapes: Shapes, place: Pose, rng: np.random.Generator, ridden: bool = False) -> None:
    """Add a bicycle: two sparse wheels and a frame of thin tubes; with a rider it is a moving bicyclist.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        ridden: whether it has a rider.
    """
    raw, number = (253 if ridden else 11), shapes.new_instance()
    part = partial(shapes.add, raw=raw, instance=number)
    albedo = float(rng.uniform(0.2, 0.6))
    lean = turn(X, float(rng.uniform(-0.1, 0.1)))
    for x in (-0.52, 0.52):
        tilt = lean @ turn(X, np.pi / 2)
        part(CYLINDER, place, (x, 0, 0.34), (0.68, 0.68, 0.05), albedo=albedo * 0.6, fill=0.4, tilt=tilt)
    for x, z, length, pitch in (
        (0.1, 0.68, 0.62, -0.1),
        (-0.2, 0.5, 0.6, 1.2),
        (0.12, 0.52, 0.7, -0.75),
        (0.44, 0.66, 0.7, 1.2),
    ):
        part(BOX, place, (x, 0, z), (length, 0.05, 0.05), albedo=albedo, tilt=lean @ turn(Y, -pitch))
    part(BOX, place, (-0.28, 0, 0.9), (0.26, 0.16, 0.08), albedo=0.15)
    part(BOX, place, (0.38, 0, 1.02), (0.06, 0.58, 0.05), albedo=0.3)
    if ridden:
        rider(shapes, place.at(-0.15, 0, 0.0), rng, raw, number, seat=0.92, lean=0.45)


def motorcycle(shapes: Shapes, place: Pose, rng: np.random.Generator, ridden: bool = False) -> None:
    """Add a motorcycle: wheels, engine block, tank, seat and fork; with a rider it is a moving motorcyclist.

    Args:
        shapes: gets the solids.
        place: where it is, and which way it faces.
        rng: source of all random numbers.
        ridden: whether it has a rider.
    """
    raw, number = (255 if ridden else 15), shapes.new_instance()
    part = partial(shapes.add, raw=raw, instance=number)
    paint = float(rng.uniform(0.08, 0.4))
    for x in (-0.72, 0.72):
        centre, size = (x, 0, 0.32), (0.64, 0.64, 0.16)
        part(CYLINDER, place, centre, size, albedo=0.1, fill=0.85, tilt=turn(X, np.pi / 2))
    part(BOX, place, (0.0, 0, 0.45), (0.75, 0.38, 0.4), albedo=0.25)
    part(ELLIPSOID, place, (0.2, 0, 0.85), (0.65, 0.36, 0.36), albedo=paint, loss=0.1)
    part(BOX, place, (-0.4, 0, 0.8), (0.8, 0.3, 0.14), albedo=0.08)
    part(BOX, place, (0.62, 0, 0.75), (0.08, 0.16, 0.85), albedo=0.3, tilt=turn(Y, -0.4))
    part(BOX, place, (0.45, 0, 1.1), (0.08, 0.72, 0.07), albedo=0.2)
    part(ELLIPSOID, place, (0.7, 0, 0.95), (0.3, 0.34, 0.36), albedo=paint)
    if ridden:
        rider(shapes, place.at(-0.2, 0, 0.0), rng, raw, number, seat=0.85, lean=0.3)
