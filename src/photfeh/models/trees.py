"""Regression trees as flat arrays of nodes, whoever grew them, and the walk through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.types import FloatArray, IntArray

__all__ = ["check_trees", "flat_trees", "walk_trees"]

_NAMES = ("root", "left", "right", "feature", "threshold", "value")


def flat_trees(
    *,
    left: Sequence[npt.NDArray[Any]],
    right: Sequence[npt.NDArray[Any]],
    feature: Sequence[npt.NDArray[Any]],
    threshold: Sequence[npt.NDArray[Any]],
    value: Sequence[npt.NDArray[Any]],
) -> dict[str, npt.NDArray[Any]]:
    """All nodes of all trees, one tree after the other, shape (nodes,) each, and the ``root`` (trees,) of every tree.

    Of every tree and node: the children ``left`` and ``right`` (negative at a leaf), numbered within the tree, and
    what decides, x[feature] <= threshold goes left; the ``value`` of a leaf.
    """
    start = np.cumsum([0, *(len(nodes) for nodes in left)])
    sides = {
        name: [np.where(child < 0, -1, child + begin) for begin, child in zip(start[:-1], children, strict=True)]
        for name, children in (("left", left), ("right", right))
    }
    return {
        "root": start[:-1].astype(np.int64),
        **{name: np.concatenate(children).astype(np.int64) for name, children in sides.items()},
        "feature": np.concatenate(feature).astype(np.int64),
        "threshold": np.concatenate(threshold).astype(np.float64),
        "value": np.concatenate(value).astype(np.float64),
    }


def check_trees(trees: Mapping[str, npt.NDArray[Any]], n_inputs: int) -> None:
    """Whether arrays from a file are trees of :func:`flat_trees` over so many inputs: the walk looks at nothing else.

    Children come after their parent, so that every walk ends.

    Raises
    ------
    ValueError
        says what is wrong.
    """
    root, left, right, feature = (trees[name] for name in ("root", "left", "right", "feature"))
    nodes = len(left)
    if any(trees[name].shape != (nodes,) for name in _NAMES[1:]) or root.ndim != 1 or not len(root) or not nodes:
        raise ValueError("the arrays of the trees differ in length, or are empty")
    if any(trees[name].dtype != np.int64 for name in _NAMES[:4]):
        raise ValueError("the nodes of the trees are not numbered by integers")
    inner, number = left >= 0, np.arange(nodes)
    for child in (left, right):
        if ((child >= nodes) | (child <= number))[inner].any():
            raise ValueError("a node of the trees has a child that does not come after it")
    if ((feature < 0) | (feature >= n_inputs))[inner].any() or ((root < 0) | (root >= nodes)).any():
        raise ValueError("a node of the trees asks for an input that there is not, or a root is no node")


def walk_trees(x: FloatArray, trees: Mapping[str, npt.NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
    """Mean and spread of the leaves that each row of x (N, F) falls into, shape (N,); trees of :func:`flat_trees`."""
    mean, spread = np.zeros(len(x)), np.zeros(len(x))
    over_stars(_walk, len(x), (x, *(trees[name] for name in _NAMES)), (mean, spread), least=16)
    return mean, spread


@kernel()
def _walk(
    first: int,
    last: int,
    x: FloatArray,
    root: IntArray,
    left: IntArray,
    right: IntArray,
    feature: IntArray,
    threshold: FloatArray,
    value: FloatArray,
    mean: FloatArray,
    spread: FloatArray,
) -> None:
    for i in range(first, last):
        total, squares = 0.0, 0.0
        for t in range(len(root)):
            node = root[t]
            while left[node] >= 0:
                node = left[node] if x[i, feature[node]] <= threshold[node] else right[node]
            total += value[node]
            squares += value[node] ** 2
        mean[i] = total / len(root)
        spread[i] = np.sqrt(max(squares / len(root) - mean[i] ** 2, 0.0))
