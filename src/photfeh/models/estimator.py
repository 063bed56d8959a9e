"""The protocol of scikit-learn's estimators, without loading it: two seconds that a prediction does not need."""

from __future__ import annotations

import inspect
from typing import Any, Self

__all__ = ["Estimator"]


class Estimator:
    """Parameters are what the constructor takes; ``sklearn.base.clone`` and model selection work with it."""

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Names of the constructor's arguments, sorted."""
        return sorted(name for name in inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Every parameter by its name; no model of ours has another inside, so ``deep`` changes nothing."""
        return {name: getattr(self, name) for name in self.parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters.

        Raises
        ------
        ValueError
            if there is none of this name.
        """
        known = self.parameter_names()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r} for {type(self).__name__}; there are {', '.join(known)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        usual = inspect.signature(type(self)).parameters
        other = {name: value for name, value in self.get_params().items() if value != usual[name].default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in other.items())})"

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools ask about an estimator."""
        from sklearn.base import BaseEstimator

        return BaseEstimator.__sklearn_tags__(self)
