"""Samples and normalises rows of two feature clouds (Algorithm 1, lines 3-8), and compares them by any distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd.checks import STUDENT_ADVICE, TEACHER_ADVICE, first_nonfinite_row
from topokd.clouds import Clouds, Features, Offsets, as_rows, at_least_float32, matched_rows
from topokd.errors import DataError
from topokd.options import whole
from topokd.topology.normalize import check_normalization, normalize_features
from topokd.topology.sampling import farthest_point_sampling


def sampled_rows(
    teacher: Features, student: Features, offsets: Offsets = None, *, num_points: int = 1024, normalize: str = "l2"
) -> list[tuple[Float[Tensor, "_ c_t"], Float[Tensor, "_ c_s"]]]:
    """Normalised rows of both networks at the points that farthest point sampling picks in the teacher's features.

    Args:
        teacher: (n, c_t) features of B clouds, or another layout of `topokd.clouds.as_rows`; they get no gradient.
        student: (n, c_s) features of the same rows.
        offsets: (b,) cumulative number of rows per cloud, where the layout does not say it.
        num_points: M, rows kept per cloud; a smaller cloud is taken whole.
        normalize: see `normalize_features`.

    Returns:
        Per cloud that has rows the teacher's (m, c_t) and the student's (m, c_s), m at most M, float32 or float64.

    Raises:
        DataError: shapes or offsets that disagree, or features that are not finite; names the cloud.
        ParameterError: an unknown normalisation, or M below 2.

    Examples:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
        >>> [[rows.tolist() for rows in pair] for pair in sampled_rows(x, x, num_points=2)]
        [[[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]]
    """
    own, other, ends = matched_rows(student, teacher, offsets)
    own = finite_rows("student", Clouds(own, ends)).rows
    sampled = sample_rows(other, ends, num_points=num_points, normalize=normalize)
    return _matched(Clouds(own, ends), sampled, normalize)


class SampledRows(NamedTuple):
    """The teacher's part of `sampled_rows`.

    Attributes:
        ends: cumulative number of rows per cloud.
        clouds: for each cloud that has rows, the indices of the sampled rows (m,) and these rows (m, c_t), normalised.

    Examples:
        >>> import torch
        >>> sample_rows(torch.tensor([[3.0, 0.0], [0.0, 2.0], [3.0, 0.1]]), num_points=2).clouds[0][0].tolist()
        [0, 1]
    """

    ends: list[int]
    clouds: list[tuple[Int64[Tensor, " m"], Float[Tensor, "m c"]]]


def sample_rows(
    teacher: Features, offsets: Offsets = None, *, num_points: int = 1024, normalize: str = "l2"
) -> SampledRows:
    """The teacher's part of `sampled_rows`.

    Args:
        teacher: (n, c_t) features of B clouds, or another layout of `topokd.clouds.as_rows`.
        offsets: (b,) cumulative number of rows per cloud, if the layout does not say so.
        num_points: M, rows kept per cloud.
        normalize: see `normalize_features`.

    Raises:
        DataError: shapes or offsets that disagree, or features that are not finite; names the cloud.
        ParameterError: an unknown normalisation, or M below 2.
    """
    num_points, normalize = whole(num_points, "num_points", least=2), check_normalization(normalize)
    rows = finite_rows("teacher", as_rows(teacher, offsets, "teacher's features"))
    clouds = [normalize_features(at_least_float32(cloud.detach()), normalize) for cloud in rows.split()]
    kept = farthest_point_sampling(clouds, num_points) if clouds else []
    return SampledRows(rows.ends, [(rows, cloud[rows]) for rows, cloud in zip(kept, clouds, strict=True)])


def _matched(
    student: Clouds, sampled: SampledRows, normalize: str
) -> list[tuple[Float[Tensor, "_ c_t"], Float[Tensor, "_ c_s"]]]:
    if student.ends != sampled.ends:
        raise DataError(
            f"the student has {len(student.rows)} rows in {len(student.ends)} clouds, which end at other rows than the "
            "teacher's: match rows"
        )
    ours = [normalize_features(at_least_float32(cloud), normalize) for cloud in student.split()]
    return [
        (rows.to(own.device), own[kept.to(own.device)]) for (kept, rows), own in zip(sampled.clouds, ours, strict=True)
    ]


class SampledRowsLoss(nn.Module):
    """L = (1/B) sum over the B clouds that have rows, of a distance of the teacher's and the student's sampled rows.

    Args:
        distance: a function of (m, c_t) and (m, c_s) points whose rows correspond, as `rtd_lite` or `signature_loss`; a
            module-level function, or a `functools.partial` of one, so that the module can be pickled.
        num_points: M, rows kept per cloud; a smaller cloud is taken whole.
        normalize: see `normalize_features`.

    Raises:
        ParameterError: an unknown normalisation, or M below 2.

    Examples:
        >>> import torch
        >>> from topokd.topology import signature_loss
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
        >>> loss = SampledRowsLoss(signature_loss, num_points=20)(x, x.detach() ** 2, torch.tensor([30, 50]))
        >>> loss.backward()
        >>> loss.item() > 0, bool(x.grad.any())
        (True, True)
    """

    def __init__(
        self, distance: Callable[[Tensor, Tensor], Tensor], num_points: int = 1024, normalize: str = "l2"
    ) -> None:
        super().__init__()
        self.distance = distance
        self.num_points, self.normalize = whole(num_points, "num_points", least=2), check_normalization(normalize)

    def sample(self, teacher: Features, offsets: Offsets = None) -> SampledRows:
        """The teacher's part of the loss, which `forward` takes in place of the features.

        Args:
            teacher: (n, c_t) features of B clouds, or another layout of `topokd.clouds.as_rows`.
            offsets: (b,) cumulative number of rows per cloud, if the layout does not say so.

        Raises:
            DataError: see `sampled_rows`.
        """
        return sample_rows(teacher, offsets, num_points=self.num_points, normalize=self.normalize)

    def forward(self, student: Features, teacher: Features | SampledRows, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The mean over clouds that have rows.

        Args:
            student: (n, c_s) features of B clouds, or another layout of `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same rows, or what `sample` returned for them.
            offsets: (b,) cumulative number of rows per cloud, where the layout does not say it.

        Raises:
            DataError: as `sampled_rows`.
        """
        if isinstance(teacher, SampledRows):
            own, sampled = as_rows(student, offsets, "student's features"), teacher
            finite_rows("student", own)
        else:
            rows, other, ends = matched_rows(student, teacher, offsets)
            own = finite_rows("student", Clouds(rows, ends))
            sampled = self.sample(other, ends)
        total = at_least_float32(own.rows[:0].sum())  # 0, in the graph even if no cloud has rows
        for theirs, ours in _matched(own, sampled, self.normalize):
            total = total + self.distance(theirs, ours)
        return total / max(1, len(sampled.clouds))

    def extra_repr(self) -> str:
        """The arguments that `print(module)` shows."""
        return f"num_points={self.num_points}, normalize={self.normalize!r}"


def finite_rows(who: str, features: Clouds) -> Clouds:
    """``features``, unchanged, if they are finite.

    Args:
        who: "teacher" or "student", for messages.
        features: rows of all clouds.

    Raises:
        DataError: names the cloud and row of the first NaN or infinity.
    """
    row = first_nonfinite_row(features.rows)
    if row is not None:
        cloud = next(k for k, end in enumerate(features.ends) if row < end)
        raise DataError(
            f"{who}'s features of cloud {cloud} hold NaN or infinity, first in row {row}: "
            f"{STUDENT_ADVICE if who == 'student' else TEACHER_ADVICE}"
        )
    return features
