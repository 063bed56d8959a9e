"""Hyper-parameters searched on training stars: studies that survive their workers, and the verb ``tune``."""
