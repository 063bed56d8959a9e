"""Extreme deconvolution: the joint distribution of curves, periods and [Fe/H] as a mixture of Gaussians.

Every star has a noise covariance of its own, and sparse or noisy curves differ from good ones in nothing else. The
mixture describes the noise-free stars; each star's points are a Gaussian likelihood of its harmonics (an information
matrix, which exists also where a fit does not). [Fe/H] is one more coordinate, whose posterior is the prediction. The
error grows with the noise of the curve by the rules of probability, with nothing to tune.

Source: Bovy, Hogg & Roweis 2011, Annals of Applied Statistics 5, 1657 (their EM algorithm, here in terms of information
matrices, so that unmeasured directions need no large numbers). Bagging: Breiman 1996, with exponential weights (Rubin
1981).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.ranks import median
from photfeh.core.types import FloatArray, IntArray
from photfeh.models.base import Regressor, Tune, averaged, once
from photfeh.models.kernels.mixtures import expectation, invert, posterior
from photfeh.models.kernels.ridge_curve import normal_equations
from photfeh.samples.sequences import Sequences

__all__ = ["ExtremeDeconvolution", "harmonic_information"]


_PERIOD_ERROR = 0.004
"""Width [d] given to periods: they are exact, but a component must not become a sheet in the period."""
_LEAST_MASS = 1e-9
"""Stars that a component holds at least; below, it holds none."""
_PRIOR_STARS = 20.0
"""Weight, in stars, of the prior that keeps a component from collapsing."""


@dataclass(kw_only=True, eq=False, repr=False)
class ExtremeDeconvolution(Regressor):
    """Bagged mixtures of Gaussians over harmonics, period and [Fe/H], each star with its own noise.

    ``n_components`` Gaussians over the cosine and sine coefficients [mag] of ``n_harmonics`` harmonics in the frame
    phi1 = 0, the period and the label; ``n_members`` mixtures on reweighted stars are averaged. ``iterations`` of EM:
    few, since stopping early regularises. ``floor``: variance added to every component, relative to that of the sample.
    ``label_error`` [dex]: error of the labels.
    """

    representations: ClassVar[tuple[str, ...]] = ("raw",)

    n_components: int = 10
    n_harmonics: int = 5
    n_members: int = 6
    iterations: int = 30
    floor: float = 0.02
    label_error: float = 0.05
    seed: int = 0

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        information, vector, coefficients = self._likelihood_once(X)
        information, vector = information.copy(), vector.copy()
        information[:, -1, -1] = self.label_error**-2
        vector[:, -1] = y * self.label_error**-2
        rough = np.column_stack([coefficients, X.feature("period"), y])
        rng = np.random.default_rng(self.seed)
        members = []
        for _ in range(self.n_members):
            drawn = weight * rng.exponential(size=len(y))
            members.append(self._mixture(information, vector, rough, drawn / drawn.mean(), rng))
        self.arrays_ = {
            name: np.stack(parts)
            for name, parts in zip(("share", "centre", "covariance"), zip(*members, strict=True), strict=True)
        }
        mean, _ = self._predict_dist(X)
        self.notes_ = {"n_stars": len(y), "train_rmse": float(np.sqrt(np.average((mean - y) ** 2, weights=weight)))}

    def _mixture(
        self, information: FloatArray, vector: FloatArray, rough: FloatArray, weight: FloatArray, rng: Any
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """EM from clusters in the lowest harmonics, the period and the label."""
        from sklearn.cluster import KMeans  # half a second, which a prediction does not need

        spread = rough.std(axis=0) + 1e-9
        leading = [0, *range(2, min(6, rough.shape[1] - 2)), rough.shape[1] - 1]
        n_components = min(self.n_components, max(1, len(rough) // 30))
        with threadpool_limits(1):  # with threads the sums, and so the clusters, would differ from run to run
            clusters = KMeans(n_components, n_init=1, random_state=int(rng.integers(2**31)))
            label = clusters.fit((rough / spread)[:, leading], sample_weight=weight).labels_
        floor = self.floor * np.diag(spread**2)
        share = np.bincount(label, minlength=n_components) / len(label)
        centre = np.stack([rough[label == k].mean(axis=0) for k in range(n_components)])
        apart = rough - centre[label]
        covariance = np.stack(
            [
                (apart[label == k].T @ apart[label == k] + _PRIOR_STARS * np.diag(spread**2) / n_components)
                / ((label == k).sum() + _PRIOR_STARS)
                + floor
                for k in range(n_components)
            ]
        )
        for _ in range(self.iterations):
            mass, first, second = expectation(
                information, vector, weight, centre, *_prepared(share, centre, covariance)
            )
            # a component that holds no star any more stays where it is, with the least covariance
            held = np.maximum(mass, _LEAST_MASS)
            moved = np.where(mass[:, None] > _LEAST_MASS, first / held[:, None], centre)
            step = moved - centre
            second += np.transpose(np.tril(second, -1), (0, 2, 1))
            second -= mass[:, None, None] * step[:, :, None] * step[:, None, :]
            covariance = (second + _PRIOR_STARS * floor) / (mass + _PRIOR_STARS)[:, None, None]
            centre, share = moved, held / held.sum()
        return share, centre, covariance

    def _likelihood_once(self, X: Sequences) -> tuple[FloatArray, FloatArray, FloatArray]:
        return once(X, ("harmonic likelihood", self.n_harmonics), lambda: self._likelihood(X))

    def _likelihood(self, X: Sequences) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Information matrices (N, D, D), vectors (N, D), nothing said about the label; coefficients (N, 2K)."""
        period = X.feature("period")
        phase = X.values[..., 1].astype(np.float64) / period[:, None]
        d = 2 * self.n_harmonics + 2
        information, vector = np.zeros((len(X), d, d)), np.zeros((len(X), d))
        information[:, :-2, :-2], vector[:, :-2], coefficients = harmonic_information(
            phase, X.values[..., 0].astype(np.float64), X.lengths, self.n_harmonics
        )
        information[:, -2, -2], vector[:, -2] = _PERIOD_ERROR**-2, period * _PERIOD_ERROR**-2
        return information, vector, coefficients

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        information, vector, _ = self._likelihood_once(X)
        parts = zip(*(self.arrays_[name] for name in ("share", "centre", "covariance")), strict=True)
        prepared = [np.stack(columns) for columns in zip(*(_prepared(*part) for part in parts), strict=True)]
        means, variances = map(list, posterior(information, vector, *prepared))
        (mean, apart), (own, _) = averaged(means), averaged(variances)
        return mean, np.sqrt(own + apart)


def _prepared(
    share: FloatArray, centre: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Logarithmic weights, precisions and precision x centre of the components, as the kernels want them."""
    precision = np.asarray(np.linalg.inv(covariance), np.float64)
    shift = np.einsum("kij,kj->ki", precision, centre)
    log_weight = np.log(share) - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * np.einsum("ki,ki->k", shift, centre)
    return np.asarray(log_weight), precision, np.asarray(shift)


def harmonic_information(
    phase: FloatArray, mag: FloatArray, lengths: IntArray, n_harmonics: int, rounds: int = 4
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What the points of each star say about its harmonics, the mean magnitude being free.

    Parameters
    ----------
    phase, mag : (N, T) phases [cycle] and magnitudes; the first ``lengths`` (N,) of each row are valid
    n_harmonics : int
        K harmonics, coefficients a_1, b_1, ..., a_K, b_K of cosines and sines [mag].
    rounds : int
        Rounds of reweighting (Tukey's biweight, Beaton & Tukey 1974) around a ridge fit; the noise of a star is
        1.4826 times the median residual, corrected for the degrees of freedom that the fit uses up.

    Returns
    -------
    information (N, 2K, 2K) [mag^-2], vector (N, 2K) [mag^-1], coefficients of the ridge fit (N, 2K) [mag]
        The log likelihood of coefficients c is -c . information . c / 2 + vector . c + constant.
    """
    n, d = len(lengths), 2 * n_harmonics
    information, vector, coefficients = np.zeros((n, d, d)), np.zeros((n, d)), np.zeros((n, d))
    inputs = (phase, mag, lengths, n_harmonics, rounds)
    over_stars(_inform, n, inputs, (information, vector, coefficients), least=16)
    return information, vector, coefficients


@kernel()
def _inform(
    first: int,
    last: int,
    phase: FloatArray,
    mag: FloatArray,
    lengths: IntArray,
    n_harmonics: int,
    rounds: int,
    information: FloatArray,
    vector: FloatArray,
    coefficients: FloatArray,
) -> None:
    d = 2 * n_harmonics + 1
    penalty = np.zeros(d)
    penalty[0] = 1e-3
    for k in range(1, n_harmonics + 1):
        penalty[2 * k - 1] = penalty[2 * k] = k**3 / 0.2**2  # prior standard deviation 0.2 k^-1.5 mag
    for star in range(first, last):
        m = lengths[star]
        if m == 0:
            continue
        y, basis, centre, squares = np.empty(m), np.ones((m, d)), 0.0, 0.0
        for t in range(m):
            centre += mag[star, t]
        for t in range(m):
            y[t] = mag[star, t] - centre / m
            squares += y[t] * y[t]
        for k in range(1, n_harmonics + 1):
            for t in range(m):
                basis[t, 2 * k - 1] = np.cos(2 * np.pi * k * phase[star, t])
                basis[t, 2 * k] = np.sin(2 * np.pi * k * phase[star, t])
        residual, weight, noise = np.empty(m), np.ones(m), 0.3 * np.sqrt(2.0 * (squares / m)) + 1e-3
        inverse, solution, system, size = np.empty((d, d)), np.zeros(d), np.empty((d, d)), np.empty(m)
        gram, right = np.empty((d, d)), np.empty(d)
        for turn in range(rounds + 1):
            normal_equations(basis, weight, y, gram, right)
            if turn == rounds:
                break
            for i in range(d):
                for j in range(d):
                    system[i, j] = gram[i, j]
                system[i, i] += penalty[i] * noise**2
            invert(system, inverse)
            used = 0.0
            for i in range(d):
                solution[i] = 0.0
                for j in range(d):
                    solution[i] += inverse[i, j] * right[j]
                    used += inverse[i, j] * gram[i, j]
            for t in range(m):
                fitted = 0.0
                for i in range(d):
                    fitted += basis[t, i] * solution[i]
                residual[t] = y[t] - fitted
                size[t] = abs(residual[t])
            free = max(m - used, 0.25 * m)
            noise = 1.4826 * median(size) * np.sqrt(m / free) + 1e-3
            for t in range(m):
                weight[t] = max(1.0 - (residual[t] / (4.685 * noise)) ** 2, 0.0) ** 2
        total = gram[0, 0] + 1e-9
        for i in range(d - 1):  # integrate over the mean magnitude (Schur complement)
            coefficients[star, i] = solution[i + 1]
            vector[star, i] = (right[i + 1] - gram[0, i + 1] * right[0] / total) / noise**2
            for j in range(d - 1):
                information[star, i, j] = (gram[i + 1, j + 1] - gram[0, i + 1] * gram[0, j + 1] / total) / noise**2
