"""Topology- and gradient-guided knowledge distillation of point-cloud segmentation networks."""

__version__ = "0.1.0"
