"""Points without a return, stray points, and the position and axes of the sensor."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from topokd.data.formats.table import Note
from topokd.errors import DataError

FAR = 10_000.0
"""Metres from the origin beyond which coordinates are those of a map, not of a sensor."""
_SHARE_OF_FILLERS = 0.01
_IN_THE_SENSOR = 0.005
_COPIES = 10
"""So many points in one place, far from all others, are not measurements."""
_FEWEST = 100
"""With fewer points, one that is repeated need not be a filler."""
_SAME = 1e-4
"""Relative difference of distances that count as the same."""
_AXES = ("x", "y", "z")


def parse_frame(text: str) -> Float64[ndarray, "3 3"]:
    """The matrix that takes a file's coordinates to the network's: row k is the file's axis that becomes axis k.

    Args:
        text: three signed axes of the file, the network's x, y and z: "x,y,z" changes nothing.

    Raises:
        DataError: not three different axes, or a mirror image.

    Examples:
        >>> parse_frame("y,-x,z").astype(int).tolist()
        [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    """
    matrix = np.zeros((3, 3))
    text = text if isinstance(text, str) else repr(text)
    parts = [part.strip().lower() for part in text.split(",")]
    for row, part in enumerate(parts[:3]):
        axis = part.lstrip("+-")
        if axis in _AXES and len(part) - len(axis) <= 1:
            matrix[row, _AXES.index(axis)] = -1.0 if part.startswith("-") else 1.0
    if len(parts) != 3 or abs(abs(np.linalg.det(matrix)) - 1) > 1e-9:
        raise DataError(
            f"frame is {text!r}; name the axes of the file that are the network's x, y and z, such as y,-x,z (--frame)"
        )
    if np.linalg.det(matrix) < 0:
        raise DataError(f"frame is {text!r}, which is a mirror image: change the sign of one axis (--frame)")
    return matrix


def has_return(xyz: Float64[ndarray, "n 3"], notes: list[Note]) -> Bool[ndarray, " n"]:
    """Which points are measurements: finite, and not fillers that exports write for beams without a return.

    Fillers are (0, 0, 0), and any other point that makes up a hundredth of the file or more. If they are as many, so
    are points on the axis x = y = 0 (the offset of a laser at range 0), points all around at one distance with nothing
    just before it (a simulator's maximum range), and points in the sensor itself: nearer than half a percent of the
    median distance, or than a thousandth of the distance that 90 % stay within. Far fillers are found first: they
    would raise both distances, so that measurements seemed to lie in the sensor.

    Args:
        xyz: (n, 3) coordinates as stored.
        notes: gets a note if there are fillers.

    Returns:
        (n,) True for measurements.
    """
    finite = np.isfinite(xyz).all(axis=1)
    filler = finite & ~xyz.any(axis=1)
    many = max(_COPIES, _SHARE_OF_FILLERS * len(xyz))
    for fillers_of_a_kind in (_repeated, _on_the_axis, _at_the_farthest_distance):
        some = fillers_of_a_kind(xyz, finite & ~filler)
        filler |= some if some.sum() >= many else False
    size = np.abs(xyz).max(axis=1, where=finite[:, None], initial=0.0)
    measured = size[finite & ~filler]
    if len(measured):
        middle, far = np.quantile(measured, [0.5, 0.9])
        inside = finite & ~filler & (size < _IN_THE_SENSOR * max(middle, far / 5))
        if inside.sum() >= many:
            filler |= inside
    if filler.any():
        place = xyz[filler][0].tolist()
        notes.append(
            Note(
                "points without a return",
                f"{int(filler.sum())} of {len(xyz)} points are fillers without a return, as ({place[0]:g}, "
                f"{place[1]:g}, "
                f"{place[2]:g}), and get no class",
            )
        )
    return finite & ~filler


def _repeated(xyz: Float64[ndarray, "n 3"], used: Bool[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Points that make up a hundredth of those used, and ten or more, if there are a hundred.

    Where several such points are all there is, or others are nearly as frequent (coordinates rounded to decimetres or
    metres), none is a filler.
    """
    rows = xyz[used]
    if len(rows) < _FEWEST:
        return np.zeros(len(xyz), bool)
    sample = rows[np.linspace(0, len(rows) - 1, 5000).astype(int)] if len(rows) > 5000 else rows
    points, counts = np.unique(sample, axis=0, return_counts=True)
    repeated = np.zeros(len(xyz), bool)
    many = max(_COPIES, _SHARE_OF_FILLERS * len(sample))
    if counts.max(where=counts < many, initial=0) > many / 3:
        return repeated
    places = points[counts >= many]
    for point in places:
        repeated |= (xyz == point).all(axis=1)
    return repeated if len(places) < 2 or not repeated[used].all() else np.zeros(len(xyz), bool)


def _on_the_axis(xyz: Float64[ndarray, "n 3"], used: Bool[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Points with x = y = 0."""
    return used & ~xyz[:, :2].any(axis=1)


def _at_the_farthest_distance(xyz: Float64[ndarray, "n 3"], used: Bool[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Points as far away as the farthest one, on a sphere, if most are nearer and fewer lie just before.

    Those of a laser that sweeps flat ground are equally far as well, but in one plane, which a slope tilts.
    """
    rows, fillers = np.flatnonzero(used), np.zeros(len(xyz), bool)
    if not len(rows):
        return fillers
    with np.errstate(over="ignore"):  # damaged coordinates, which the caller rejects
        distance = np.linalg.norm(xyz[rows], axis=1)
    farthest = float(distance.max())
    last = distance >= (1 - _SAME) * farthest
    before = (distance >= 0.95 * farthest) & ~last
    if last.mean() < 0.9 and before.sum() < last.sum() and not _in_a_plane(xyz[rows[last]] / farthest):
        fillers[rows[last]] = True
    return fillers


def _in_a_plane(xyz: Float64[ndarray, "n 3"]) -> bool:
    """Whether points that lie at a distance of 1 are in one plane, but for a thousandth."""
    centred = xyz - xyz.mean(axis=0)
    return bool(np.linalg.eigvalsh(centred.T @ centred / len(xyz))[0] < 1e-3**2)


def without_strays(xyz: Float64[ndarray, "n 3"], used: Bool[ndarray, " n"], notes: list[Note]) -> Bool[ndarray, " n"]:
    """``used`` without stray points: farther from the median than 1 km and than ten times the distance of 90 % of them,
    or than three times that distance and ten or more in the same place.

    Args:
        xyz: (n, 3) metres.
        used: which of them have a return.
        notes: a note is added if there are any.
    """
    distance = np.abs(xyz[used] - np.median(xyz[used], axis=0)).max(axis=1)
    usual = float(np.quantile(distance, 0.9))
    stray = distance > max(1000.0, 10 * usual)
    far = np.flatnonzero(distance > 3 * usual)
    if len(far) >= _COPIES:
        _, place, copies = np.unique(xyz[used][far], axis=0, return_inverse=True, return_counts=True)
        stray[far[copies[place.reshape(-1)] >= _COPIES]] = True
    if not stray.any():
        return used
    notes.append(
        Note(
            "stray points",
            f"{int(stray.sum())} of {len(stray)} points lie up to {distance.max():.3g} m from the others and "
            "get no class",
        )
    )
    kept = used.copy()
    kept[np.flatnonzero(used)[stray]] = False
    return kept


def check_precision(xyz: Float64[ndarray, "n 3"], scale: float, notes: list[Note]) -> None:
    """Note coordinates that were stored as float32 so far from their origin that points move by centimetres.

    Args:
        xyz: (n, 3) as in the file.
        scale: metres per unit.
        notes: a note is added if there are any.
    """
    reach = float(np.abs(xyz).max(initial=0.0))
    with np.errstate(all="ignore"):  # beyond float32
        step = scale * float(np.spacing(np.float32(reach)))
        single = (xyz == xyz.astype(np.float32)).all()
    if step > 0.02 and single and (xyz != np.round(xyz)).any():
        notes.append(
            Note(
                "coordinates rounded to float32",
                f"coordinates of up to {reach:.3g} are stored as float32, which separates them by {step:.2g} m: "
                "points were moved; export them as float64, or with a smaller offset",
            )
        )


def near_origin(xyz: Float64[ndarray, "n 3"], notes: list[Note]) -> Float64[ndarray, "n 3"]:
    """Shift map coordinates by their median, and note other coordinates that are not centred on the sensor.

    Points surround their sensor, so the distance of the origin from their median is at most a few times the median
    distance from there.

    Args:
        xyz: (n, 3) metres.
        notes: gets a note on a shift or on an unlikely origin.

    Returns:
        (n, 3) the coordinates, shifted if they were map coordinates.
    """
    centre = np.median(xyz, axis=0)
    with np.errstate(over="ignore"):  # damaged coordinates, which the caller rejects
        spread = float(np.median(np.linalg.norm((xyz - centre)[:, :2], axis=1)))
    place = ",".join(f"{value:.1f}" for value in centre)
    if np.abs(centre).max() > FAR:
        notes.append(
            Note(
                "map coordinates",
                f"has map coordinates: shifted by {np.round(-centre, 1).tolist()} for the network "
                "(--origin X,Y,Z gives the position of the sensor)",
            )
        )
        return xyz - centre
    off = float(np.linalg.norm(centre[:2]))
    if len(xyz) >= 100 and (off > max(2.5 * spread, 5.0) or off > 50 or abs(centre[2]) > max(30.0, spread)):
        notes.append(
            Note(
                "the origin is not at the sensor",
                f"its points lie around ({place}) m, {off:.0f} m from the origin, and half of them within "
                f"{spread:.0f} m of that: the origin does not seem to be at the sensor, so labels will be poor "
                "(--origin X,Y,Z gives the position of the sensor)",
            )
        )
    return xyz
