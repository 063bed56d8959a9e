"""A simulated survey with known truth."""
