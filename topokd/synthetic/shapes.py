"""Primitive solids of a street, and their placement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float

BOX, CYLINDER, ELLIPSOID = 0, 1, 2
X, Y, Z = np.eye(3)


def turn(axis: Float[np.ndarray, " 3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """Rotation by ``angle`` radians about a unit ``axis`` (Rodrigues)."""
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@dataclass(frozen=True)
class Pose:
    """Position and heading of an object: a point on the ground and a rotation about z."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0

    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Pose:
        """The place at (x, y, z) in the axes of this one, rotated by a further ``yaw``.

        Args:
            x: metres forward.
            y: metres to the left.
            z: metres up.
            yaw: Radians.
        """
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return Pose(self.x + cos * x - sin * y, self.y + sin * x + cos * y, self.z + z, self.yaw + yaw)


@dataclass
class Shapes:
    """A growing list of solids.

    Each is a unit shape (cube, cylinder along z, ball, all within +-1) that is scaled by ``half``, rotated and moved.

    Attributes:
        kind: BOX, CYLINDER or ELLIPSOID.
        centre: (3,) metres.
        half: (3,) half sizes in metres.
        rotation: (3, 3).
        albedo: share of the light that is reflected.
        loss: share of returns lost at any distance (glass, black paint).
        fill: share of the surface that is solid (railings, spokes).
        density: hits per metre inside a solid that light enters (leaves); 0 for a surface.
        raw: class id.
        instance: number of the object; 0 for none.
        instances: number of objects so far.
    """

    kind: list[int] = field(default_factory=list)
    centre: list[np.ndarray] = field(default_factory=list)
    half: list[np.ndarray] = field(default_factory=list)
    rotation: list[np.ndarray] = field(default_factory=list)
    albedo: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    fill: list[float] = field(default_factory=list)
    density: list[float] = field(default_factory=list)
    raw: list[int] = field(default_factory=list)
    instance: list[int] = field(default_factory=list)
    instances: int = 0

    def new_instance(self) -> int:
        """The number of the next counted object (vehicle or person)."""
        self.instances += 1
        return self.instances

    def add(
        self,
        kind: int,
        place: Pose,
        centre: Sequence[float] | Float[np.ndarray, " 3"],
        size: Sequence[float] | Float[np.ndarray, " 3"],
        raw: int,
        albedo: float,
        *,
        tilt: Float[np.ndarray, "3 3"] | None = None,
        loss: float = 0.0,
        fill: float = 1.0,
        density: float = 0.0,
        instance: int = 0,
    ) -> None:
        """Add a solid of full ``size`` (metres), with ``centre`` and rotation ``tilt`` in the axes of ``place``.

        Args:
            kind: `BOX`, `CYLINDER` or `ELLIPSOID`.
            place: the axes.
            centre: (3,) metres.
            size: (3,) metres.
            raw: SemanticKITTI class id.
            albedo: see the attributes of the class, as for the other numbers.
            tilt: (3, 3) rotation; None for none.
            loss: share of returns lost.
            fill: share of the surface that is solid.
            density: hits per metre inside; 0 for a surface.
            instance: number of the object; 0 for none.
        """
        spot = place.at(*(float(value) for value in centre))
        rotation = turn(Z, place.yaw)
        self.kind.append(kind)
        self.centre.append(np.array([spot.x, spot.y, spot.z]))
        self.half.append(np.array(size) / 2)
        self.rotation.append(rotation if tilt is None else rotation @ tilt)
        self.albedo.append(albedo)
        self.loss.append(loss)
        self.fill.append(fill)
        self.density.append(density)
        self.raw.append(raw)
        self.instance.append(instance)

    def __len__(self) -> int:
        return len(self.kind)

    def copy(self) -> Shapes:
        """A copy with separate lists."""
        lists: dict[str, Any] = {f.name: list(getattr(self, f.name)) for f in fields(self) if f.name != "instances"}
        return Shapes(**lists, instances=self.instances)

    def arrays(self) -> dict[str, np.ndarray]:
        """All attributes as arrays with one row per solid."""
        count = len(self)
        return {
            "kind": np.array(self.kind, np.int64),
            "centre": np.array(self.centre, np.float64).reshape(count, 3),
            "half": np.array(self.half, np.float64).reshape(count, 3),
            "rotation": np.array(self.rotation, np.float64).reshape(count, 3, 3),
            **{name: np.array(getattr(self, name), np.float64) for name in ("albedo", "loss", "fill", "density")},
            **{name: np.array(getattr(self, name), np.int64) for name in ("raw", "instance")},
        }
