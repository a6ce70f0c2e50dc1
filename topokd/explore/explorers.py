"""The explorers of the notebooks, each in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from topokd.errors import DataError
from topokd.explore.files import read_points
from topokd.explore.session import Session

if TYPE_CHECKING:
    from topokd.explore.widget import Explorer


def filtration_explorer(points: Any = None, *, num_points: int = 256, max_dim: int = 1) -> Explorer:
    """The filtration of a cloud: edges and triangles enter, classes are born and die.

    Args:
        points: (n, c) array or tensor, or a file (.npy, .ply, .bin, ...); None offers shapes and networks.
        num_points: initial M.
        max_dim: highest degree: 1 or 2.

    Raises:
        DataError: for points that cannot be read.

    Examples:
        >>> import numpy as np
        >>> explorer = filtration_explorer(np.random.default_rng(0).normal(size=(30, 3)), num_points=20)
        >>> explorer.session.choice.source, explorer.session.choice.points
        ('own points', 20)
    """
    return _widget(Session("filtration", _own(points), points=num_points, max_dim=max_dim))


def loss_explorer(
    student: Any = None, teacher: Any = None, *, profile: str | None = None, num_points: int = 256
) -> Explorer:
    """L_topo between two clouds: diagrams, matches, parts, gradient, steps.

    Args:
        student: (n, c_s) features, or a file; None offers networks and shapes.
        teacher: (n, c_t) features of the same rows, or a file.
        profile: the networks of this profile are offered.
        num_points: initial M.

    Raises:
        DataError: for features that cannot be read, or do not have a row each.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> explorer = loss_explorer(rng.normal(size=(30, 8)), rng.normal(size=(30, 16)), num_points=20)
        >>> explorer.session.choice.source
        'own features'
    """
    return _widget(Session("loss", _pair(student, teacher), profile=profile, points=num_points))


def scene_explorer(profile: str | None = None, points: Any = None, *, num_points: int = 256) -> Explorer:
    """A scan with the features of a network on it.

    Args:
        profile: whose scans and networks are offered; None takes the first with trained networks.
        points: the scan to show first, (n, 3) or a file.
        num_points: initial M.

    Examples:
        >>> import numpy as np
        >>> explorer = scene_explorer(points=np.random.default_rng(0).normal(size=(30, 3)), num_points=20)
        >>> explorer.session.choice.source
        'own points'
    """
    return _widget(Session("scene", _own(points), profile=profile, points=num_points))


def _own(points: Any) -> dict[str, Any]:
    return {} if points is None else {_name(points, "own points"): read_points(points)}


def _pair(student: Any, teacher: Any) -> dict[str, Any]:
    if (student is None) != (teacher is None):
        raise DataError("the loss compares two clouds: give student and teacher, or neither")
    if student is None:
        return {}
    pair = read_points(student, "student"), read_points(teacher, "teacher")
    if len(pair[0]) != len(pair[1]):
        raise DataError(f"student has {len(pair[0])} rows and teacher {len(pair[1])}: give features of the same rows")
    return {"own features": pair}


def _name(points: Any, otherwise: str) -> str:
    return str(points).replace("\\", "/").rsplit("/", 1)[-1] if isinstance(points, str) else otherwise


def _widget(session: Session) -> Explorer:
    from topokd.explore.widget import Explorer  # needs anywidget, which pages do not

    return Explorer(session)
