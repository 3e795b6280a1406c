"""The assignment between two decoders that maximises the sum of cosines, exactly, and the proof that none is better.

A sparse assignment on the pairs that can matter, then linear-programming duality over all pairs: potentials u and v with
u_i + v_j ≥ S_ij everywhere (v ≥ 0, and 0 for columns left over) bound every assignment by Σu + Σv, so one that reaches the
bound is optimal. Pairs that break the inequality join the candidates, and the assignment is solved again; the potentials
of the last round are subtracted first, which leaves the solver little to do.

The order is always the same, and each step ends. (1) Candidates. (2) Up to ten rounds; the first solves the candidates at
three resolutions, where a price is an integer number of steps and begins within reach of its end, since the solver's work
grows with the number of steps that prices fall; later ones at those finer than what was missing. (3) The dense solver, whose
work depends on the size alone; where its matrix is too large, rounds whose lists double.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.files import reason_of
from faithful.base.memory import trim_memory

CANDIDATES = 64
ROUNDS = 10
HELD_BYTES, BYTES_IN_MEMORY = 2**31, 2**26
DENSE_BYTES = 3 * 2**30
ROWS_PER_PRODUCT = 2048
PIECE = {"cpu": 2**19, "cuda": 2**25}
SAMPLED_ROWS = 192
SPARE_PAIRS = 2**23
STEPS = (2.0**-11, 2.0**-18, 2.0**-26)
SMALL_PAIRS = 2**20

Rows = Callable[[], Tensor]
"""Reads the rows of a decoder or encoder, each time that they are asked for."""
Offers = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Proof:
    """What potentials say about an assignment, over all pairs.

    Attributes:
        excess: largest S_ij − u_i − v_j, at least 0; at 0 the potentials are feasible.
        gap: no assignment has a sum of cosines above this one's by more; 0 says that it is optimal.
    """

    excess: float
    gap: float


@dataclass(frozen=True)
class Assignment:
    """Partners of the rows of two decoders, [m, d] and [n, d].

    Attributes:
        rows: int64 [min(m, n)], ascending rows of the first decoder.
        columns: int64 [min(m, n)], the partner of each, a row of the second.
        cosines: float64 [min(m, n)], their cosines: float32 products, rounded to multiples of 2⁻²⁶ (1.5e-8).
        best_of_rows: float64 [m], largest cosine of each row of the first with any of the second.
        best_of_columns: float64 [n], the same for the second.
        row_potentials, column_potentials: float64 [m] and [n], u and v of the proof.
        proof: that no other assignment is better.
        path: how it was found: `all pairs`; `candidates 64`, with ` + 32` for each round that added so many per row;
            `dense`.
    """

    rows: np.ndarray
    columns: np.ndarray
    cosines: np.ndarray
    best_of_rows: np.ndarray
    best_of_columns: np.ndarray
    row_potentials: np.ndarray
    column_potentials: np.ndarray
    proof: Proof
    path: str


def assign(one: Tensor, other: Tensor, candidates: int = CANDIDATES) -> Assignment:
    """The pairing of rows with the largest sum of cosines; every row of the smaller side gets a partner.

    Cosines are float32 products. They are kept up to 2 GiB, those of a CPU beyond 64 MiB in a file without a name in the
    temporary folder; beyond that, every pass multiplies the decoders again. After ten rounds without a proof the dense solver
    is asked, where its float64 matrix stays below 3 GiB; else the rounds go on with lists that double. Up to a million pairs
    all is done by one torch thread: threads that wait for each other a thousand times in 30 ms take minutes on a machine that
    is busy.

    Memory on a CPU, beside `one` and `other`: two float32 copies of unit rows, about as much again for the cosines of an
    eighth of the rows and columns or for the candidates, and 160 bytes per row and column; the dense solver's matrix.

    Args:
        one: [m, d], any float type, on any device; rows of any length, those of length 0 have cosine 0 with all.
        other: [n, d], on the same device.
        candidates: pairs per row and per column to begin with, about; at least 1.

    Raises:
        FaithfulError: no rows, widths that differ, values that are not finite, or no room in the temporary folder.
    """
    return assign_read(lambda: one, lambda: other, candidates)


def assign_read(one: Rows, other: Rows, candidates: int = CANDIDATES) -> Assignment:
    """The same of rows that are read one side after the other, and held no longer than their copy takes."""
    trim_memory()
    sides = _unit(one()), _unit(other())
    is_swapped = len(sides[0]) > len(sides[1])
    cosines = _Cosines(*(sides[::-1] if is_swapped else sides))
    with threads_for(cosines.shape[0] * cosines.shape[1]):
        found = _Search(cosines, candidates).run()
    return _swapped(found) if is_swapped else found


def prove(one: Tensor, other: Tensor, found: Assignment) -> Proof:
    """Check an assignment by its potentials against every pair, from the decoders anew.

    Raises:
        FaithfulError: see `assign`.
    """
    if len(one) > len(other):
        one, other, found = other, one, _swapped(found)
    with threads_for(len(one) * len(other)):
        cosines = _Cosines(_unit(one), _unit(other))
        matched = cosines.values(found.rows * len(other) + found.columns)
        return _scan(cosines, found.row_potentials, found.column_potentials, found.columns, matched)[1]


@contextmanager
def threads_for(pairs: int) -> Iterator[None]:
    """One torch thread for few pairs or entries of a matrix, else as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if pairs <= SMALL_PAIRS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Pairs:
    """Some pairs of the [m, n].

    Attributes:
        keys: int64 [pairs], row · n + column, ascending.
        values: float64 [pairs], cosines.
        columns: n.
    """

    keys: np.ndarray
    values: np.ndarray
    columns: int

    def starts(self, rows: int) -> np.ndarray:
        """Where each row's pairs begin, int64 [m + 1]."""
        return np.searchsorted(self.keys, np.arange(rows + 1) * self.columns)

    def places(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Where these pairs, all of them known, are."""
        return np.searchsorted(self.keys, rows * self.columns + columns)

    def joined(self, other: "_Pairs") -> "_Pairs":
        """Both, each pair once."""
        places = np.searchsorted(self.keys, other.keys)
        new = np.append(self.keys, -1)[places] != other.keys
        places, keys, values = places[new], other.keys[new], other.values[new]
        return _Pairs(np.insert(self.keys, places, keys), np.insert(self.values, places, values), self.columns)


class _File:
    """A float32 matrix in a file without a name, written and read by rows: of the machine's memory it takes what is free."""

    def __init__(self, rows: int, columns: int) -> None:
        self.shape = rows, columns
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it goes with this object)

    def __setitem__(self, part: slice, values: Tensor) -> None:
        self._file.seek(4 * self.shape[1] * part.start)
        self._file.write(values.contiguous().numpy().data)
        self._file.flush()

    def __getitem__(self, part: slice) -> Tensor:
        first, last, _ = part.indices(self.shape[0])
        found = np.empty((last - first, self.shape[1]), np.float32)
        self._file.seek(4 * self.shape[1] * first)
        self._file.readinto(found.data)
        return torch.from_numpy(found)


class _Cosines:
    """S [m, n] in pieces of rows, the same numbers in every pass; kept where it fits into `HELD_BYTES`.

    Args:
        one, other: unit rows, float32 [m, d] and [n, d].
    """

    def __init__(self, one: Tensor, other: Tensor) -> None:
        if not len(one) or not len(other) or one.shape[1] != other.shape[1]:
            raise FaithfulError(
                f"Decoders of {tuple(one.shape)} and {tuple(other.shape)} cannot be matched; both need rows of one width."
            )
        self.one, self.other = one, other
        self.shape = len(one), len(other)
        self._holds = 4 * len(one) * len(other) <= HELD_BYTES
        self._held: Tensor | _File | None = None

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """First row of each piece, and its float32 [rows, n]."""
        step = max(1, PIECE.get(self.one.device.type, PIECE["cpu"]) // self.shape[1])
        for first, last, product in self._products():
            for begin in range(first, last, step):
                yield begin, product[begin - first : min(begin + step, last) - first]

    def every(self, step: int) -> Tensor:
        """Every so manieth row, float32 [⌈m / step⌉, n]; rounded otherwise than in `pieces` where nothing is kept."""
        held = self._whole()
        if held is None:
            return self.one[::step] @ self.other.T
        found = self.one.new_empty((-(-self.shape[0] // step), self.shape[1]))
        for place in range(len(found)):
            found[place] = held[place * step : place * step + 1][0]
        return found

    def every_column(self, step: int) -> Tensor:
        """Every so manieth column, float32 [m, ⌈n / step⌉]."""
        held = self._whole()
        if held is None:
            return self.one @ self.other[::step].T
        found = self.one.new_empty((self.shape[0], -(-self.shape[1] // step)))
        for part in self._parts():
            found[part] = held[part][:, ::step]
        return found

    def values(self, keys: np.ndarray) -> np.ndarray:
        """Cosines of pairs row · n + column, in ascending order, float64."""
        columns = self.shape[1]
        found = []
        for first, piece in self.pieces():
            begin, end = np.searchsorted(keys, [first * columns, (first + len(piece)) * columns])
            if end > begin:
                wanted = torch.from_numpy(keys[begin:end] - first * columns).to(piece.device)
                found.append(piece.reshape(-1)[wanted].cpu())
        return _exact(torch.cat(found))

    def costs(self) -> np.ndarray:
        """−S as float64 [m, n]; what is kept is given up first, so that both are never held together."""
        self._held, self._holds = None, False
        costs = np.empty(self.shape)
        for first, piece in self.pieces():
            np.negative(_exact(piece), out=costs[first : first + len(piece)])
        self._holds = 4 * costs.size <= HELD_BYTES
        return costs

    def _parts(self) -> Iterator[slice]:
        rows = self.shape[0]
        return (slice(first, min(first + ROWS_PER_PRODUCT, rows)) for first in range(0, rows, ROWS_PER_PRODUCT))

    def _products(self) -> Iterator[tuple[int, int, "Tensor | _File"]]:
        """Rows of S that are at hand together: first, last, what holds them."""
        held = self._whole()
        if held is not None:
            yield 0, self.shape[0], held
            return
        for part in self._parts():
            yield part.start, part.stop, self.one[part] @ self.other.T

    def _whole(self) -> "Tensor | _File | None":
        if self._held is None and self._holds:
            in_file = self.one.device.type == "cpu" and 4 * self.shape[0] * self.shape[1] > BYTES_IN_MEMORY
            try:
                held = _File(*self.shape) if in_file else self.one.new_empty(self.shape)
                for part in self._parts():
                    held[part] = self.one[part] @ self.other.T
            except OSError as error:
                raise FaithfulError(
                    f"{tempfile.gettempdir()} has no room for the cosines of two SAEs: {reason_of(error)}; name another"
                    " folder with TMPDIR."
                ) from error
            self._held = held
        return self._held


class _Search:
    """Rounds of a sparse assignment, its potentials, and a pass over all pairs that proves it or finds what it missed."""

    def __init__(self, cosines: _Cosines, candidates: int) -> None:
        self.cosines, self.count = cosines, candidates
        self._best = np.full(cosines.shape[0], -np.inf), np.full(cosines.shape[1], -np.inf)

    @property
    def _limit(self) -> float:
        """Pairs kept per row, on average over a piece."""
        return 2 * self.count * (1 + self.cosines.shape[1] / self.cosines.shape[0])

    def run(self) -> Assignment:
        rows, columns = self.cosines.shape
        u, v = np.zeros(rows), np.zeros(columns)
        pairs, path = self._first()
        pairs, partners = self._completed(pairs)
        missing = np.inf
        for turn in count(1):
            partners, matched, u, v = _solve(pairs, partners, u, v, missing)
            near, proof = self._near(u, v, partners, matched)
            if proof.gap == 0:
                break
            if turn == ROUNDS and 8 * rows * columns <= DENSE_BYTES:
                del pairs, near
                path = "dense"
                partners, matched, u, v, proof = self._dense()
                break
            if turn >= ROUNDS:
                self.count *= 2
            size, missing = len(pairs.keys), proof.excess
            pairs = pairs.joined(near)
            path += f" + {(len(pairs.keys) - size) / rows:.0f}"
        return Assignment(np.arange(rows), partners, matched, *self._best, u, v, proof, path)

    def _first(self) -> tuple[_Pairs, str]:
        """Pairs with a cosine above what about `count` of their row reach, or of their column; and their name."""
        rows, columns = self.cosines.shape
        everything = rows <= 4 * self.count
        rank = min(8, self.count)
        step = self.count // rank
        if not everything:
            of_rows = self.cosines.every_column(step).topk(rank).values[:, -1:]
            some = self.cosines.every(step).split(ROWS_PER_PRODUCT, dim=1)
            of_columns = torch.cat([part.T.contiguous().topk(rank).values[:, -1] for part in some])
            del some
        best = self.cosines.one.new_full((columns,), -torch.inf)
        found = []
        for first, piece in self.cosines.pieces():
            self._best[0][first : first + len(piece)] = piece.amax(1).cpu().numpy()
            torch.maximum(best, piece.amax(0), out=best)
            if everything:
                places = torch.arange(piece.numel(), device=piece.device)
            else:
                high = _above(piece, of_rows[first : first + len(piece)]).logical_or_(_above(piece, of_columns))
                places = _thinned(_places(high), self._limit * len(piece))
            found.append((first, places, piece.reshape(-1)[places]))
        self._best[1][:] = best.cpu().numpy()
        return _gathered(found, columns), "all pairs" if everything else f"candidates {self.count}"

    def _completed(self, pairs: _Pairs) -> tuple[_Pairs, np.ndarray]:
        """Pairs that hold a full matching, and one: a greedy one, whose rows left over may have any column left over."""
        partners = _greedy(pairs, self.cosines.shape[0])
        left = np.flatnonzero(partners < 0)
        if not len(left):
            return pairs, partners
        free = np.setdiff1d(np.arange(self.cosines.shape[1]), partners)
        turns = np.arange(len(left))[:, None] + np.arange(min(self.count, len(free)))
        keys = left[:, None] * pairs.columns + free[turns % len(free)]
        partners[left] = free[: len(left)]
        keys = np.sort(keys, axis=None)
        return pairs.joined(_Pairs(keys, self.cosines.values(keys), pairs.columns)), partners

    def _near(self, u: np.ndarray, v: np.ndarray, partners: np.ndarray, matched: np.ndarray) -> tuple[_Pairs, Proof]:
        """Pairs above the bound or next below it, about half of `count` per row, and what the potentials prove."""
        step = max(1, len(u) // SAMPLED_ROWS)
        sample = self.cosines.every(step)
        sample = sample - torch.from_numpy(v).to(sample) - torch.from_numpy(u[::step, None]).to(sample)
        rank = min(sample.numel(), max(1, len(sample) * self.count // 2))
        slack = max(0.0, -float(sample.reshape(-1).topk(rank).values[-1]))
        return _scan(self.cosines, u, v, partners, matched, slack, self._limit)

    def _dense(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Proof]:
        from scipy.optimize import linear_sum_assignment

        rows, columns = self.cosines.shape
        partners = linear_sum_assignment(self.cosines.costs())[1]
        matched = self.cosines.values(np.arange(rows) * columns + partners)
        u, v = _potentials(_AllOffers(self.cosines), partners, matched, columns)
        return partners, matched, u, v, _scan(self.cosines, u, v, partners, matched)[1]


class _Offers:
    """What rows offer for columns, S_ij − u_i, over candidate pairs."""

    def __init__(self, pairs: _Pairs, rows: int) -> None:
        self._columns, self._values, self._starts = pairs.keys % pairs.columns, pairs.values, pairs.starts(rows)

    def __call__(self, rows: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and offers of the pairs of some rows."""
        begins, counts = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        ends = np.cumsum(counts)
        places = np.repeat(begins - ends + counts, counts) + np.arange(ends[-1])
        return self._columns[places], self._values[places] - np.repeat(u[rows], counts)


class _AllOffers:
    """What rows offer for columns over all pairs: the best offer for each column."""

    def __init__(self, cosines: _Cosines) -> None:
        self._cosines = cosines

    def __call__(self, rows: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best = np.full(self._cosines.shape[1], -np.inf)
        for first, piece in self._cosines.pieces():
            begin, end = np.searchsorted(rows, [first, first + len(piece)])
            if end > begin:
                inside = torch.from_numpy(rows[begin:end] - first).to(piece.device)
                offers = _exact(piece[inside]) - u[rows[begin:end], None]
                np.maximum(best, offers.max(0), out=best)
        return np.arange(len(best)), best


def _potentials(
    offers: Offers, partners: np.ndarray, matched: np.ndarray, columns: int, known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """v ≥ 0, and u, with u_i + v_j ≥ S_ij on the pairs offered and equality on those matched.

    Longest paths by Bellman and Ford, over rows whose column has just risen. Where the matching is the best one of these
    pairs, they end within as many turns as there are rows. From v = 0 they end at the smallest v, which is 0 for columns
    left over; where none is, they may begin at a known v, from where it is not far.
    """
    owners = np.full(columns, -1)
    owners[partners] = np.arange(len(partners))
    v = np.zeros(columns) if known is None or len(partners) < columns else known - known.min()
    u = matched - v[partners]
    front = np.arange(len(partners))
    for _ in range(len(partners) + 1):
        places, bids = offers(front, u)
        higher = bids > v[places]
        np.maximum.at(v, places[higher], bids[higher])
        front = owners[np.flatnonzero(np.bincount(places[higher], minlength=columns))]
        front = np.sort(front[front >= 0])
        if not len(front):
            break
        u[front] = matched[front] - v[partners[front]]
    return u, v


def _scan(
    cosines: _Cosines,
    u: np.ndarray,
    v: np.ndarray,
    partners: np.ndarray,
    matched: np.ndarray,
    slack: float = 0.0,
    limit: float = 0.0,
) -> tuple[_Pairs, Proof]:
    """One pass over all pairs: those with S_ij − u_i − v_j > −slack, and what the potentials prove.

    float32 differences find the pairs that come near 0; those are computed again in float64.

    Args:
        limit: pairs kept per row, on average over a piece.
    """
    # Σu + Σv bounds every assignment, whichever columns it leaves over, only where no v is negative.
    if cosines.shape[0] < cosines.shape[1]:
        v = np.maximum(v, 0)
    # What float32 may be off by: nearly all pairs lie further below 0 than that, and are done with at half the memory
    # traffic.
    rounding = 2e-6 * (1 + float(np.abs(u).max()) + float(np.abs(v).max()))
    u_32, v_32 = (torch.from_numpy(side).to(cosines.one) for side in (u, v))
    rises, found = np.zeros(len(u)), []
    for first, piece in cosines.pieces():
        excess = torch.sub(piece, v_32).sub_(u_32[first : first + len(piece), None])
        places = _places(_above(excess, -max(slack, rounding)))
        excess = excess.reshape(-1)[places]
        # Of the few others the excess is computed exactly. Where it is above 0 the potentials are no bound yet: raising
        # u_i by the row's largest excess makes them one, and what all rows are raised by is part of the gap.
        close = places[excess > -rounding]
        rows, columns = np.divmod(close.cpu().numpy(), cosines.shape[1])
        np.maximum.at(rises, first + rows, _exact(piece.reshape(-1)[close]) - u[first + rows] - v[columns])
        # The two kinds are thinned apart, so that pairs merely near the bound never crowd out those that break it.
        above = excess > 0
        places = torch.cat([_thinned(places[part], limit * len(piece)) for part in (above, ~above)]).sort().values
        found.append((first, places, piece.reshape(-1)[places]))
    left_over = np.delete(v, partners)
    gap = (u + v[partners] - matched).sum() + left_over.sum() + rises.sum()
    return _gathered(found, cosines.shape[1]), Proof(float(rises.max()), float(gap))


def _greedy(pairs: _Pairs, height: int) -> np.ndarray:
    """A partner for most rows, each column once: rows pick one of their pairs at random; −1 where all are taken."""
    generator = np.random.default_rng(0)
    rows, columns = np.divmod(pairs.keys, pairs.columns)
    partners, taken = np.full(height, -1), np.zeros(pairs.columns, dtype=bool)
    while len(rows):
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        picks = generator.integers(starts, np.append(starts[1:], len(rows)))
        chosen, first = np.unique(columns[picks], return_index=True)
        partners[rows[picks[first]]] = chosen
        taken[chosen] = True
        open_ = (partners[rows] < 0) & ~taken[columns]
        rows, columns = rows[open_], columns[open_]
    return partners


def _solve(
    pairs: _Pairs, partners: np.ndarray, u: np.ndarray, v: np.ndarray, missing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The best full matching of the pairs and its potentials, from any of both: partners, their cosines, u, v.

    Coarse cosines first: among near ties the solver's prices fall by the difference between them each time, at least by one
    step, up to what the next best pair is worth. From coarse potentials that is not far, and potentials rounded to the step
    leave no smaller differences.

    Args:
        missing: how far u and v are from being feasible; steps above are left out, but for the last.
    """
    rows = np.arange(len(partners))
    for step in [step for step in STEPS if step < missing] or STEPS[-1:]:
        rounded = replace(pairs, values=np.round(pairs.values / step) * step)
        u, v = np.round(u / step) * step, np.round(v / step) * step
        partners = _best_partners(rounded, partners, u, v)
        matched = rounded.values[rounded.places(rows, partners)]
        u, v = _potentials(_Offers(rounded, len(rows)), partners, matched, pairs.columns, v)
    return partners, matched, u, v


def _best_partners(pairs: _Pairs, known: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The best full matching of the pairs, int64 [m].

    Potentials near the optimum make costs near 0, so that the solver's cheap beginning does nearly all the work. It begins
    with a maximum matching, whose search can take exponential time (scipy issue 26147); a known one that stands first in
    every row is found at once. Columns left over get a row each that may have any of them, which makes the problem
    square: others the solver begins without that cheap beginning, and column potentials change what is best.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows = len(known)
    spare = pairs.columns - rows
    squared = spare <= min(rows // 50, SPARE_PAIRS // pairs.columns)
    owners, columns = np.divmod(pairs.keys, pairs.columns)
    gains, starts = pairs.values - u[owners], pairs.starts(rows)
    if squared:
        gains -= v[columns]
    places = pairs.places(np.arange(rows), known)
    for side in (columns, gains):
        side[starts[:-1]], side[places] = side[places], side[starts[:-1]]
    if squared and spare:
        free = np.setdiff1d(np.arange(pairs.columns), known)
        more = (free[:, None] + np.arange(pairs.columns)) % pairs.columns
        columns = np.append(columns, more)
        gains = np.append(gains, -v[more])
        starts = np.append(starts, starts[-1] + pairs.columns * np.arange(1, spare + 1))
        rows += spare
    graph = (1 + gains.max() - gains, columns.astype(np.int32), starts.astype(np.int32))
    found = min_weight_full_bipartite_matching(csr_array(graph, shape=(rows, pairs.columns)))[1]
    return found[: len(known)].astype(np.int64)


def _exact(cosines: Tensor) -> np.ndarray:
    """float64 multiples of 2⁻²⁶, what float32 resolves at 1/4: sums and differences do not round, so that a proof is one."""
    return cosines.double().div_(STEPS[-1]).round_().mul_(STEPS[-1]).cpu().numpy()


def _gathered(found: list[tuple[int, Tensor, Tensor]], columns: int) -> _Pairs:
    keys = torch.cat([places + first * columns for first, places, _ in found]).cpu().numpy()
    return _Pairs(keys, _exact(torch.cat([values for _, _, values in found])), columns)


def _above(values: Tensor, bound: Tensor | float) -> Tensor:
    """values > bound; numpy compares in a third of torch's time."""
    if values.device.type == "cpu":
        return torch.from_numpy(values.numpy() > (bound.numpy() if isinstance(bound, Tensor) else bound))
    return values > bound


def _places(chosen: Tensor) -> Tensor:
    """Where a bool tensor is true, int64, in the flattened tensor."""
    if chosen.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(chosen.numpy()))
    return chosen.reshape(-1).nonzero()[:, 0]


def _thinned(places: Tensor, limit: float) -> Tensor:
    """At most so many of them, evenly: ties can be as many as the pairs."""
    return places[:: max(1, -int(-len(places) // max(limit, 1)))]


def _unit(rows: Tensor) -> Tensor:
    """Rows of length 1 in float32, zero rows left at 0; of their size nothing is made but what is returned."""
    rows = rows if rows.dtype == torch.float64 else rows.float()
    tiny = torch.finfo(rows.dtype).tiny
    largest = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))
    if not bool(torch.isfinite(largest).all()):
        raise FaithfulError("A decoder holds values that are not finite; train that SAE again or leave it out.")
    rows = rows / largest.clamp(min=tiny)
    return rows.div_(rows.norm(dim=1, keepdim=True).clamp(min=tiny)).float()


def _swapped(found: Assignment) -> Assignment:
    order = np.argsort(found.columns)
    return replace(
        found,
        rows=found.columns[order],
        columns=found.rows[order],
        cosines=found.cosines[order],
        best_of_rows=found.best_of_columns,
        best_of_columns=found.best_of_rows,
        row_potentials=found.column_potentials,
        column_potentials=found.row_potentials,
    )
