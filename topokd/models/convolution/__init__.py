"""Submanifold sparse convolution.

Read in this order: ``neighbours`` (voxels as sorted integers), ``pairs`` (the CPU path), ``table`` (the GPU path),
``spconv`` (the optional package), ``layer`` (chooses between the three, and the layer itself).
"""
