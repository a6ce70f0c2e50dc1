"""Submanifold sparse convolution: neighbour tables, and the layer that uses them."""
