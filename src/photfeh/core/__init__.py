"""What everything stands on: the nouns (light curves, stars, bands), flags, errors, and the one cache."""
