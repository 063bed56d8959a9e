"""Figures; every function takes ``ax=``."""
