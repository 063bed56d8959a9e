"""Trained models and what they say of new stars: ensembles, calibration, predictions, cards."""
