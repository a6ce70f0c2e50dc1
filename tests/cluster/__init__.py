"""Tests on a real SLURM, which they install and start."""
