"""Compiled kernels: how they are compiled (`jit`, `native`) and kept (`cache`). What they compute is in other packages.

`jit` has the decorators of Numba kernels; `native` calls kernels as plain C functions, without importing Numba once
they are compiled; `cache` is the folder of machine code. Importing this package imports none of them.
"""
