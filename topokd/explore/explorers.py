"""The explorers of the notebooks, each in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from topokd.errors import DataError
from topokd.explore.files import as_arguments, check_pair, read_points
from topokd.explore.session import Session

if TYPE_CHECKING:
    from topokd.explore.widget import Explorer


def filtration_explorer(points: Any = None, *, num_points: int = 256, max_dim: int = 1, **reading: Any) -> Explorer:
    """The filtration of a cloud: edges and triangles enter, classes are born and die.

    Args:
        points: (n, c) array or tensor, or a file (.npy, .ply, .bin, ...); None offers shapes and networks.
        num_points: initial M.
        max_dim: highest degree: 1 or 2.
        reading: how a file is read, see `topokd.explore.read_points`: columns, dtype, scale, frame, origin.

    Returns:
        A widget, which a notebook shows.

    Raises:
        DataError: for points that cannot be read.

    Examples:
        >>> import numpy as np
        >>> explorer = filtration_explorer(np.random.default_rng(0).normal(size=(30, 3)), num_points=20)
        >>> explorer.session.choice.source, explorer.session.choice.points
        ('own points', 20)
    """
    return _widget(Session("filtration", _own(points, reading), points=num_points, max_dim=max_dim))


def loss_explorer(
    student: Any = None, teacher: Any = None, *, profile: str | None = None, num_points: int = 256, **reading: Any
) -> Explorer:
    """L_topo between two clouds: diagrams, matches, parts, gradient, steps.

    Args:
        student: (n, c_s) features, or a file; None offers networks and shapes.
        teacher: (n, c_t) features of the same rows, or a file.
        profile: the networks of this profile are offered.
        num_points: initial M.
        reading: how files are read, see `filtration_explorer`.

    Returns:
        A widget, which a notebook shows.

    Raises:
        DataError: for features that cannot be read, or do not have a row each.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> explorer = loss_explorer(rng.normal(size=(30, 8)), rng.normal(size=(30, 16)), num_points=20)
        >>> explorer.session.choice.source
        'own features'
    """
    return _widget(Session("loss", _pair(student, teacher, reading), profile=profile, points=num_points))


def scene_explorer(
    profile: str | None = None, points: Any = None, *, num_points: int = 256, **reading: Any
) -> Explorer:
    """A scan with the features of a network on it.

    Args:
        profile: whose scans and networks are offered; None takes the first with trained networks.
        points: the scan to show first, (n, 3) or a file.
        num_points: initial M.
        reading: how a file is read, see `filtration_explorer`.

    Returns:
        A widget, which a notebook shows.

    Raises:
        DataError: for points that cannot be read.

    Examples:
        >>> import numpy as np
        >>> explorer = scene_explorer(points=np.random.default_rng(0).normal(size=(30, 3)), num_points=20)
        >>> explorer.session.choice.source
        'own points'
    """
    return _widget(Session("scene", _own(points, reading), profile=profile, points=num_points))


def _own(points: Any, reading: dict[str, Any]) -> dict[str, Any]:
    return {} if points is None else {_name(points, "own points"): _read(points, "array", reading)}


def _pair(student: Any, teacher: Any, reading: dict[str, Any]) -> dict[str, Any]:
    if (student is None) != (teacher is None):
        raise DataError("the loss compares two clouds: give student and teacher, or neither")
    if student is None:
        return {}
    return {"own features": check_pair(_read(student, "student", reading), _read(teacher, "teacher", reading))}


def _read(points: Any, name: str, reading: dict[str, Any]) -> Any:
    try:
        return read_points(points, name, **reading)
    except DataError as error:
        raise DataError(as_arguments(str(error))) from None


def _name(points: Any, otherwise: str) -> str:
    return str(points).replace("\\", "/").rsplit("/", 1)[-1] if isinstance(points, str | Path) else otherwise


def _widget(session: Session) -> Explorer:
    from topokd.explore.widget import Explorer  # needs anywidget, which pages do not

    return Explorer(session)
