"""Compiled kernels of the models, one file a family."""
