"""Tests of `topokd slurm` on a machine without SLURM."""
