"""The one home of array aliases. Shapes stand in the annotations of public functions and are checked in the tests.

``Float64[FloatArray, "stars steps"]`` is an array of float64 with two axes; an axis of one name has one length within
a call, and ``" starts-1"`` is one shorter than ``" starts"``. (A lone name begins with a space, so that linters do not
take it for a type.) Where jaxtyping is loaded first, as in the tests, these are its types and can be checked; the
package itself neither needs nor loads it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bool",
    "BoolArray",
    "Float32",
    "Float32Array",
    "Float64",
    "FloatArray",
    "Int64",
    "IntArray",
    "Str",
    "StrArray",
]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64, Int64
    from jaxtyping import Shaped as Str

    FloatArray = npt.NDArray[np.float64]
    Float32Array = npt.NDArray[np.float32]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]
    StrArray = npt.NDArray[np.str_]
elif "jaxtyping" in sys.modules:
    Bool, Float32, Float64, Int64, Str = (
        getattr(sys.modules["jaxtyping"], name) for name in ("Bool", "Float32", "Float64", "Int64", "Shaped")
    )
    FloatArray = Float32Array = IntArray = BoolArray = StrArray = np.ndarray  # jaxtyping checks the kind of number
else:
    FloatArray = npt.NDArray[np.float64]
    Float32Array = npt.NDArray[np.float32]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]
    StrArray = npt.NDArray[np.str_]

    class _Shaped:
        """Stands for the array itself."""

        def __class_getitem__(cls, item: Any) -> Any:
            return item[0]

    Bool = Float32 = Float64 = Int64 = Str = _Shaped
