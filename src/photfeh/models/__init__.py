"""Every model under one contract: ``fit(X, y, sample_weight)``, ``predict``, ``predict_dist``, ``save``, ``load``."""
