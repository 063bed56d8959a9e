"""The founding document's smoothing spline: SciPy's, exact, batched; frozen."""
