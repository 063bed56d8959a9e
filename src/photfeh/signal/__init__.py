"""Pure functions of arrays, batched over ragged stars: clean, fold, Fourier decomposition, smoothing splines."""
