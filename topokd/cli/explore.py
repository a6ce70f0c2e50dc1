"""Command that writes explorers as pages: ``topokd explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topokd.cli.checkout import name_checkout
from topokd.cli.completion import profiles
from topokd.cli.reading import COLUMNS, DTYPE, FRAME, ORIGIN, SCALE, given_options

Points = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="POINTS",
        help="Own points or features: .npy (n, c), or a scan (.ply, .bin, .pcd, .las); two files, student and teacher, "
        "for their topological loss. If absent, the scans and networks of the project.",
    ),
]


def explore(
    points: Points = None,
    out: Annotated[Path, typer.Option(help="Page, or folder for the three pages of the project.")] = Path("explore"),
    profile: Annotated[
        str | None, typer.Option(help="Profile whose scans and networks are shown.", autocompletion=profiles)
    ] = None,
    real_scans: Annotated[
        Path | None, typer.Option(help="Folder for the pages that contain a real scan; without it, that of --out.")
    ] = None,
    num_points: Annotated[int, typer.Option(min=3, max=2048, help="Points kept by farthest point sampling.")] = 192,
    columns: COLUMNS = None,
    dtype: DTYPE = None,
    scale: SCALE = None,
    frame: FRAME = None,
    origin: ORIGIN = None,
) -> None:
    """Write interactive pages of persistence that open offline: filtration, loss and scene."""
    from topokd.errors import ParameterError
    from topokd.explore.page import write_page, write_pages

    reading = given_options(columns=columns, dtype=dtype, scale=scale, frame=frame, origin=origin)
    if not points:
        if reading:
            raise ParameterError(f"--{next(iter(reading))} is about your own file: name the file")
        name_checkout()
        for file in write_pages(out, profile, num_points=num_points, real_scans=real_scans, say=typer.echo):
            typer.echo(file)
        return
    if len(points) > 2:
        raise ParameterError(f"{len(points)} files are given: give one, or the student's and the teacher's features")
    page = out if out.suffix == ".html" else out / f"{points[0].stem}.html"
    given = points[0] if len(points) == 1 else tuple(points)
    write_page(page, "filtration" if len(points) == 1 else "loss", given, num_points=num_points, **reading)
    typer.echo(page)
