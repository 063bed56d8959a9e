"""Reading of CSV files to the last bit by pandas: older releases want to be told, newer ones do it anyway."""

from __future__ import annotations

import pandas as pd

EXACT = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
