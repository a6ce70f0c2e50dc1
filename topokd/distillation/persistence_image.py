"""The term ``persistence_image``: the L2 distance of the diagrams' persistence images."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.distillation.term import TERMS
from topokd.schema import NonNegative, Positive
from topokd.topology import persistence_image


class PersistenceImageOptions(DiagramOptions):
    """L2 distance of persistence images (Adams et al. 2017)."""

    resolution: Annotated[int, Field(strict=True, ge=2)] = Field(20, description="rows and columns of the image")
    side: Positive = Field(2.0, description="largest birth and persistence; 2: no unit vectors are farther apart")
    spread: Positive = Field(0.1, description="standard deviation of the Gaussians, in the unit of the distances")
    weight_power: NonNegative = Field(1.0, description="exponent of the persistence that weighs a point")


class PersistenceImageTerm(DiagramTerm):
    """(1/B) sum over clouds and degrees of `image_distance`."""

    Options = PersistenceImageOptions

    def loss_options(self) -> dict[str, Any]:
        """The distance."""
        fields = {"resolution", "side", "spread", "weight_power"}
        return {"distance": partial(image_distance, **self.options.model_dump(include=fields))}


def image_distance(
    teacher: Float[Tensor, "m 2"],
    student: Float[Tensor, "k 2"],
    *,
    resolution: int = 20,
    side: float = 2.0,
    spread: float = 0.1,
    weight_power: float = 1.0,
) -> Float[Tensor, ""]:
    """Integral of the squared difference of two persistence surfaces, over the image's pixels.

    ``a^2 sum over pixels of (I_student - I_teacher)^2``, a the distance of two pixels; births and persistences run from
    0 to ``side``.

    Args:
        teacher: (m, 2) birth and death.
        student: (k, 2) birth and death.
        resolution: rows and columns of the image.
        side: largest birth and persistence of the image, in the unit of the diagrams.
        spread: standard deviation of the Gaussians, in the unit of the diagrams.
        weight_power: exponent of the weights, see `topokd.topology.persistence_image`.

    Returns:
        A scalar; with ``weight_power`` 1 independent of the unit of length. 0 for two empty diagrams.

    Examples:
        >>> import torch
        >>> a = torch.tensor([[0.5, 1.5]])
        >>> image_distance(a, a).item(), round(image_distance(a, a[:0]).item(), 2)  # 1 / (4 pi 0.1^2)
        (0.0, 7.96)
    """
    images = [
        persistence_image(
            diagram,
            resolution=(resolution, resolution),
            bandwidth=spread,
            birth_range=(0.0, side),
            persistence_range=(0.0, side),
            weight_power=weight_power,
        )
        for diagram in (teacher, student)
    ]
    return (images[1] - images[0]).square().sum() * (side / (resolution - 1)) ** 2


TERMS["persistence_image"] = PersistenceImageTerm
