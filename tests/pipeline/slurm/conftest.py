"""The project with fake commands of SLURM."""

from tests.pipeline.slurm.commands import project  # noqa: F401  (a fixture)
