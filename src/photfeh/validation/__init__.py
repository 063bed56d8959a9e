"""Honest scores: disjoint train, tune and score parts, one out-of-fold table, metrics and calibration from it."""
