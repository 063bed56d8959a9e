"""What is far away: the Gaia archive, its tables by TAP, its light curves by DataLink, and its bulk files."""
