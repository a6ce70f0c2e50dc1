"""Options that say how a user's own files of points are read: the same for every command that reads them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from topokd.errors import ParameterError

COLUMNS = Annotated[
    str | None,
    typer.Option(help="Of .bin and .npy: how many, or names: x,y,z,intensity,_; detected if absent."),
]
DTYPE = Annotated[str | None, typer.Option(help="Number type of .bin: float32, float64, >float32, ...")]
INTENSITY = Annotated[
    str | None,
    typer.Option(help="Field that holds the reflectivity or intensity, or `none`; by rule if absent."),
]
INTENSITY_SCALE = Annotated[float | None, typer.Option(help="Full scale of intensities; detected if absent.")]
SCALE = Annotated[
    float | None,
    typer.Option(help="Metres per unit of the coordinates: 0.001 for millimetres; 1 if absent."),
]
FRAME = Annotated[
    str | None,
    typer.Option(help="Axes of the file that are the network's x, y, z: y,-x,z where y points forward."),
]
ORIGIN = Annotated[
    str | None,
    typer.Option(help="X,Y,Z of the sensor in the file's coordinates, if not at their origin."),
]


def given_options(**options: Any) -> dict[str, Any]:
    """Those of the options above that were given, as the arguments of `topokd.data.formats.read_cloud`.

    Raises:
        ParameterError: a column has an empty name, or the origin is not three numbers.

    Examples:
        >>> given_options(columns="x,y,z,_", dtype=None, origin="0,0,1.7")
        {'columns': ('x', 'y', 'z', '_'), 'origin': (0.0, 0.0, 1.7)}
    """
    parsers = {"columns": _parse_columns, "origin": _parse_origin}
    given = {name: value for name, value in options.items() if value is not None}
    return {name: parsers[name](value) if name in parsers else value for name, value in given.items()}


def _parse_columns(text: str) -> int | tuple[str, ...]:
    """A number, or names separated by commas."""
    try:
        return int(text)
    except ValueError:
        names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ParameterError(
            f"--columns {text}: one of the names is empty; write `_` for a column that does not matter"
        )
    return names


def _parse_origin(text: str) -> tuple[float, ...]:
    """Three numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"--origin {text}: give three numbers, X,Y,Z") from None
