"""Functions of one number, written in Python, as kernels over arrays that C can call: `elementwise` makes
them, and alone imports Numba.
"""
