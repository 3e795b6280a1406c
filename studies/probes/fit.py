"""Linear probes: L2 logistic regression, its C by cross-validation, solved in as many directions as there are examples.

Features are standardised: centred, divided by their standard deviation and by the root of the number of features that vary.
An example then has a mean squared norm of 1 whatever the width, and one list of C serves every input.

Solutions lie in the span of the examples. The problem is rotated once into the eigenvectors of the Gram matrix (of the
covariance, where features are fewer than examples): at most min(n, d) directions, in which all C are solved.
Each direction is scaled by the root of about the most its curvature can be (Böhning 1992), which makes the problem nearly
round: L-BFGS needs some ten steps.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from faithful.base.errors import FaithfulError

CS = tuple(round(10 ** (half / 2), 3) for half in range(-2, 7))
STEPS, MEMORY = 500, 10
ARMIJO, SLACK = 1e-4, 1e-14
ROUGH, FINE = 1e-2, 1e-4
FLAT, ROUNDING = 1e-6, 1e-10
BLOCK = 4096


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        coefficients: float64 [d, outputs], of the features as they are; one output for two classes, else one per class.
        intercept: float64 [outputs].
        c: inverse strength of the L2 penalty, on standardised features.
        losses: mean held-out cross-entropy in nats at each C tried, in rising order.
        weights: float64 [d], what each feature counts for: Σ over the outputs of the absolute coefficients of the
            standardised features, 0 of one that does not vary.
        c_at_edge: whether the smallest or the largest C on the list was best.
    """

    coefficients: np.ndarray
    intercept: np.ndarray
    c: float
    losses: tuple[float, ...]
    weights: np.ndarray
    c_at_edge: bool = False

    def scores(self, x: Any) -> np.ndarray:
        """Log-odds of the second class, or logits of all, float64 [n, outputs] of features [n, d], dense or sparse."""
        if hasattr(x, "toarray"):
            return np.asarray(x @ self.coefficients) + self.intercept
        return (_dense(x) @ torch.from_numpy(self.coefficients)).numpy() + self.intercept

    def predict(self, x: Any) -> np.ndarray:
        """Classes, int64 [n]."""
        scores = self.scores(x)
        return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(1)


def fit_cross_validated(x: Any, y: np.ndarray, folds: np.ndarray, cs: Sequence[float] = CS) -> Probe:
    """The probe at the C with the smallest held-out cross-entropy.

    The C are tried in rising order, until the held-out cross-entropy rises: larger ones only fit the examples more closely,
    and take longest. Features are standardised over all examples given, folds together.

    Args:
        x: features [n, d], dense or scipy.sparse.
        y: int64 [n], classes 0 … K − 1, each in at least two folds.
        folds: int64 [n], the fold in which each example is held out.
        cs: values to try.

    Raises:
        FaithfulError: fewer than two classes, or features that are not finite.
    """
    classes, basis, values = _classes(y), _basis(x), sorted(cs)
    used = folds[:, None] != np.unique(folds)
    solutions = None
    losses: list[float] = []
    for c in values:
        solutions = _solve(basis, y, used, classes, c, solutions, ROUGH)
        held_out = _losses(_scores(basis.z, solutions), torch.from_numpy(y))[0]
        losses.append(float(held_out[torch.from_numpy(~used)].mean()))
        if len(losses) > 1 and losses[-1] > losses[-2]:
            break
    best = values[int(np.argmin(losses))]
    solution = _solve(basis, y, np.ones((len(y), 1), bool), classes, best, None, FINE)
    probe = basis.probe(solution[:, 0], best, tuple(losses))
    return replace(probe, c_at_edge=best in (values[0], values[-1]))


def by_mean_difference(x: Any, y: np.ndarray) -> np.ndarray:
    """Features by the largest difference between a class' mean and that of the rest, largest first, int64 [d].

    Args:
        x: features of training examples alone, [n, d], dense or scipy.sparse.
        y: int64 [n].
    """
    total, largest = _sum(x, np.ones(len(y), bool)), np.zeros(x.shape[1])
    for label in np.unique(y):
        chosen = y == label
        inside = _sum(x, chosen)
        largest = np.maximum(largest, np.abs(inside / chosen.sum() - (total - inside) / (~chosen).sum()))
    return np.argsort(-largest, kind="stable")


def spread_folds(y: np.ndarray, groups: Sequence[str] | None, count: int, seed: int) -> np.ndarray:
    """Folds with like shares of every class and no group in two of them, int64 [n].

    Groups come by size, the largest first (equal ones in random order), each into the fold whose class counts it evens out.

    Args:
        y: int64 [n].
        groups: source of each example; None makes each a group of its own.
        count: folds.
        seed: of the order.
    """
    _, member = np.unique(np.arange(len(y)) if groups is None else np.asarray(groups), return_inverse=True)
    counts = np.zeros((member.max() + 1, y.max() + 1))
    np.add.at(counts, (member, y), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    share = np.maximum(1, counts.sum(0))
    filled = np.zeros((count, counts.shape[1]))
    fold_of = np.empty(len(counts), np.int64)
    for group in order:
        after = ((filled + counts[group]) / share) ** 2 - (filled / share) ** 2
        fold_of[group] = int(np.argmin(after.sum(1)))
        filled[fold_of[group]] += counts[group]
    return fold_of[member]


@dataclass(frozen=True)
class _Basis:
    """Training examples in the directions in which they vary.

    Attributes:
        x: the features as they are, [n, d].
        z: float64 [n, r], orthogonal columns.
        squares: their squared norms, float64 [r].
        mean, scale: of the features: they are standardised as (x − mean) · scale, float64 [d].
        vectors: float64 [d, r], from directions to standardised features; None where they are combinations of examples.
    """

    x: Any
    z: Tensor
    squares: Tensor
    mean: Tensor
    scale: Tensor
    vectors: Tensor | None

    def probe(self, solution: Tensor, c: float, losses: tuple[float, ...]) -> Probe:
        """The probe of a solution float64 [1 + r, outputs]."""
        if self.vectors is not None:
            standardised = self.vectors @ solution[1:]
        else:
            weights = (self.z / self.squares) @ solution[1:]
            pieces = [_dense(self.x[:, part]).T @ weights for part in _columns(self.x)]
            centred = torch.cat(pieces) - self.mean[:, None] * weights.sum(0)
            standardised = self.scale[:, None] * centred
        coefficients = self.scale[:, None] * standardised
        intercept, weights = solution[0] - self.mean @ coefficients, standardised.abs().sum(1)
        return Probe(coefficients.numpy(), intercept.numpy(), c, losses, weights.numpy())


def _basis(x: Any) -> _Basis:
    n, d = x.shape
    means, scales, kept = [], [], []
    gram = torch.zeros((n, n) if d > n else (0, 0), dtype=torch.float64)
    for part in _columns(x):
        block = _dense(x[:, part])
        mean = block.mean(0)
        block = block - mean
        spread = block.square().mean(0).sqrt()
        varies = spread > FLAT * mean.abs()
        scale = torch.where(varies, 1 / torch.where(varies, spread, 1.0), 0.0)
        means.append(mean)
        scales.append(scale)
        block *= scale
        if d > n:
            gram += block @ block.T
        else:
            kept.append(block)
    mean, scale = torch.cat(means), torch.cat(scales)
    if not bool(mean.isfinite().all() and scale.isfinite().all()):
        raise FaithfulError("Features hold numbers that are not finite; run the model in float32, or check the SAE.")
    unit = max(1, int(scale.count_nonzero())) ** 0.5
    whole = torch.cat(kept, 1) / unit if kept else None
    squares, vectors = torch.linalg.eigh(gram / unit**2 if whole is None else whole.T @ whole)
    large = squares > ROUNDING * squares[-1]
    squares, vectors = squares[large], vectors[:, large]
    z = vectors * squares.sqrt() if whole is None else whole @ vectors
    return _Basis(x, z, squares, mean, scale / unit, None if whole is None else vectors)


def _solve(
    basis: _Basis, y: np.ndarray, used: np.ndarray, classes: int, c: float, start: Tensor | None, tolerance: float
) -> Tensor:
    """Intercepts and weights, float64 [1 + r, problems, outputs]: problems that differ in their examples, solved as one.

    Stops where no direction's derivative exceeds the tolerance, in units in which its curvature is about 1 at most.

    Args:
        basis, y, classes, c: of all problems.
        used: bool [n, problems], the examples of each.
        start: where to begin.
        tolerance: see above.
    """
    z, counted, labels = basis.z, torch.from_numpy(used).double(), torch.from_numpy(y)
    shape = (z.shape[1] + 1, used.shape[1], 1 if classes == 2 else classes)
    share = (1 / classes) * (1 - 1 / classes)
    curvature = torch.cat([torch.tensor([c * share * len(y)]).double(), c * share * basis.squares + 1])
    unit = curvature.sqrt()[:, None, None]
    first = torch.zeros(shape, dtype=torch.float64) if start is None else start * unit

    def objective(flat: Tensor) -> tuple[float, Tensor]:
        weights = flat.view(shape) / unit
        loss, slope = _losses(_scores(z, weights), labels)
        slope *= c * counted[:, :, None]
        gradient = torch.cat([slope.sum(0, keepdim=True), (z.T @ slope.flatten(1)).view_as(weights[1:]) + weights[1:]])
        value = c * (loss * counted).sum() + 0.5 * weights[1:].square().sum()
        return float(value), (gradient / unit).flatten()

    return _minimise(objective, first.flatten(), tolerance).view(shape) / unit


def _minimise(objective: Callable[[Tensor], tuple[float, Tensor]], x: Tensor, tolerance: float) -> Tensor:
    """L-BFGS with backtracking (Nocedal and Wright, algorithms 7.4 and 3.1) for a smooth convex function of x [n].

    Our own, since scipy's runs BLAS threads on vectors of a few hundred numbers and waits for them.
    """
    value, gradient = objective(x)
    pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)
    for _ in range(STEPS):
        if float(gradient.abs().max()) <= tolerance:
            break
        direction = -_times_inverse_curvature(gradient, pairs)
        fall, step = float(gradient @ direction), 1.0
        while True:
            moved = x + step * direction
            new_value, new_gradient = objective(moved)
            if new_value <= value + ARMIJO * step * fall + SLACK * abs(value):
                break
            step /= 2
        change, turn = moved - x, new_gradient - gradient
        product = float(change @ turn)
        if product > SLACK * float(turn @ turn):
            pairs.append((change, turn, product))
        x, value, gradient = moved, new_value, new_gradient
    return x


def _times_inverse_curvature(gradient: Tensor, pairs: Sequence[tuple[Tensor, Tensor, float]]) -> Tensor:
    """The two-loop recursion."""
    found, shares = gradient.clone(), []
    for change, turn, product in reversed(pairs):
        shares.append(float(change @ found) / product)
        found -= shares[-1] * turn
    if pairs:
        _, turn, product = pairs[-1]
        found *= product / float(turn @ turn)
    for (change, turn, product), share in zip(pairs, reversed(shares), strict=True):
        found += (share - float(turn @ found) / product) * change
    return found


def _scores(z: Tensor, weights: Tensor) -> Tensor:
    """Scores [n, problems, outputs]."""
    return (z @ weights[1:].flatten(1)).view(len(z), *weights.shape[1:]) + weights[0]


def _losses(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy [n, problems] of scores [n, problems, outputs], and its derivative by the scores."""
    if scores.shape[2] == 1:
        sign = (2.0 * y - 1.0)[:, None]
        margin = -sign * scores[:, :, 0]
        return softplus(margin), (-sign * margin.sigmoid())[:, :, None]
    logs = scores.log_softmax(2)
    place = y[:, None, None].expand(-1, scores.shape[1], 1)
    slope = logs.exp()
    return -logs.gather(2, place)[:, :, 0], slope.scatter_add_(2, place, -torch.ones_like(slope[:, :, :1]))


def _classes(y: np.ndarray) -> int:
    if len(np.unique(y)) < 2:
        raise FaithfulError("A probe needs examples of at least two classes; give more examples.")
    return int(y.max()) + 1


def _columns(x: Any) -> Iterator[slice]:
    """The columns in pieces that are small as dense float64."""
    yield from (slice(first, first + BLOCK) for first in range(0, x.shape[1], BLOCK))


def _sum(x: Any, chosen: np.ndarray) -> np.ndarray:
    """Column sums over the chosen rows, float64 [d]."""
    return np.asarray(x[chosen].sum(0, dtype=np.float64)).ravel()


def _dense(x: Any) -> Tensor:
    """Float64 copy of a dense or sparse matrix."""
    return torch.from_numpy(np.array(x.toarray() if hasattr(x, "toarray") else x, np.float64))
