"""The assignment: exact, proven, whatever ties and scales."""

import errno
import math
from itertools import chain
from typing import Any

import numpy as np
import pytest
import scipy.sparse.csgraph
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.sae.stack import init_weights
from studies.seeds import assignment
from studies.seeds.assignment import Assignment, assign, prove

KINDS = (
    "trained", "random", "one_direction", "few_directions", "flat", "zeros", "one_dead_direction", "all_equal",
    "two_subspaces", "near_ties",
)  # fmt: skip


def decoders(kind: str, rows: int, columns: int, width: int = 48, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two decoders.

    `trained`: noisy copies of shared directions and unrelated ones, with a falling spectrum. `one_direction`: nearly all
    variance in one, so that two clusters of unequal size face each other. `few_directions`: each of twenty, many times.
    `flat`: points of a circle. `zeros`: a tenth of each has length 0. `one_dead_direction`: half of each is one vector.
    `two_subspaces`: cosines of very unlike size. `near_ties`: half of each is one vector up to 1e-6.
    """
    generator = torch.Generator().manual_seed(seed)
    size = max(rows, columns)
    spectrum = torch.arange(1, width + 1) ** -0.5

    def draw(count: int, scale: Tensor | float = 1.0) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(count, width, generator=generator) * scale, dim=1)

    one, other = draw(size, spectrum), draw(size, spectrum)
    copied = torch.rand(size, generator=generator) < 0.6
    other[copied] = (one + 1.5 * torch.rand(size, 1, generator=generator) * other)[copied]
    if kind == "random":
        one, other = draw(size), draw(size)
    elif kind == "one_direction":
        one, other = (draw(size, torch.where(torch.arange(width) == 0, 100.0, 1.0)) for _ in range(2))
    elif kind == "few_directions":
        centres = draw(20)
        one, other = (centres[torch.randint(20, (size,), generator=generator)] for _ in range(2))
    elif kind == "flat":
        one, other = (draw(size)[:, :2] for _ in range(2))
    elif kind == "zeros":
        for side in (one, other):
            side[torch.rand(size, generator=generator) < 0.1] = 0
    elif kind in ("one_dead_direction", "near_ties"):
        dead = draw(1)
        for side in (one, other):
            side[torch.rand(size, generator=generator) < 0.5] = dead
        if kind == "near_ties":
            one, other = (side + 1e-6 * draw(size) for side in (one, other))
    elif kind == "two_subspaces":
        for side in (one, other):
            inside = torch.rand(size, generator=generator) < 0.5
            side[inside, : width // 2] *= 1e-9
            side[~inside, width // 2 :] *= 1e-9
    elif kind == "all_equal":
        one = other = draw(1).expand(size, -1)
    return one[:rows], other[torch.randperm(size, generator=generator)][:columns]


def cosines_of(one: Tensor, other: Tensor) -> np.ndarray:
    """float64 [m, n], 0 for rows of length 0."""
    unit = [side.double() / side.double().norm(dim=1, keepdim=True).clamp(min=1e-300) for side in (one, other)]
    return (unit[0] @ unit[1].T).numpy()


def best_sum(cosines: np.ndarray) -> float:
    return float(cosines[linear_sum_assignment(cosines, maximize=True)].sum())


def check(found: Assignment, one: Tensor, other: Tensor) -> None:
    """A full matching, the optimum's sum, and potentials that prove it."""
    cosines, pairs = cosines_of(one, other), min(len(one), len(other))
    assert len(np.unique(found.rows)) == len(np.unique(found.columns)) == len(found.rows) == pairs
    assert (np.diff(found.rows) > 0).all()
    assert found.cosines == pytest.approx(cosines[found.rows, found.columns], abs=1e-6)
    assert found.cosines.sum() == pytest.approx(best_sum(cosines), abs=1e-6 * pairs)
    assert found.best_of_rows == pytest.approx(cosines.max(1), abs=1e-6)
    assert found.best_of_columns == pytest.approx(cosines.max(0), abs=1e-6)
    assert found.proof == assignment.Proof(0, 0)
    bounds = found.row_potentials[:, None] + found.column_potentials
    assert (bounds >= cosines - 1e-6).all()
    assert bounds[found.rows, found.columns] == pytest.approx(found.cosines, abs=1e-9)
    longer, ends = (
        (found.column_potentials, found.columns) if len(one) < len(other) else (found.row_potentials, found.rows)
    )
    if len(one) != len(other):
        assert (longer >= 0).all() and (np.delete(longer, ends) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), [(240, 240), (240, 243), (200, 240), (240, 90)])
@pytest.mark.parametrize("candidates", [4, 16])
def test_the_optimum_of_scipy(kind: str, rows: int, columns: int, candidates: int) -> None:
    one, other = decoders(kind, rows, columns)
    check(assign(one, other, candidates), one, other)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 7), (7, 1), (2, 2), (3, 40), (200, 260)])
@pytest.mark.parametrize("kind", ["trained", "zeros", "all_equal"])
def test_small_ones_look_at_all_pairs(kind: str, rows: int, columns: int) -> None:
    one, other = decoders(kind, rows, columns, 8)
    found = assign(one, other)
    assert found.path == "all pairs"
    check(found, one, other)


@pytest.mark.parametrize("kind", ["trained", "random", "one_direction"])
def test_the_optimum_at_usual_settings(kind: str) -> None:
    one, other = decoders(kind, 1200, 1200, 96)
    found = assign(one, other)
    assert found.path.startswith("candidates 64")
    check(found, one, other)


def test_random_decoders_need_one_round() -> None:
    assert assign(*decoders("random", 1500, 1500, 96)).path == "candidates 64"


def test_missed_pairs_are_found_and_added() -> None:
    """Two clusters of unequal size: nobody's best partners are in the other one, but some must go there."""
    one, other = decoders("one_direction", 400, 400)
    found = assign(one, other, 8)
    assert found.path.startswith("candidates 8 + ")
    assert found.cosines.min() < 0
    check(found, one, other)


def test_more_ties_than_are_kept_hide_no_better_pair() -> None:
    one, other = decoders("one_dead_direction", 1000, 1000)
    found = assign(one, other, 2)
    assert found.path.startswith("candidates 2 + ")
    check(found, one, other)


@pytest.mark.timeout(60)
def test_points_of_a_circle_end() -> None:
    """On their candidates, a band, scipy's search for a maximum matching takes exponential time unless it is given one."""
    one, other = decoders("flat", 1000, 1000, seed=4)
    check(assign(one, other, 32), one, other)


TIES = (
    "signs", "axes", "copies", "opposite", "all_zero", "one_not_zero", "ladder", "price_wars", "granules", "initial",
)  # fmt: skip


def tied(kind: str, rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Decoders whose cosines tie, exactly or nearly.

    `signs`: a handful of values among all cosines. `axes`: 0 and ±1 alone. `copies`: each row of one side often in the
    other. `opposite`: all −1. `all_zero`: all 0. `one_not_zero`: all but one pair 0. `ladder`: layers of two, each like the
    next alone, on which scipy's search for a maximum matching takes exponential time. `price_wars`: many times three rows
    for two columns alike up to 1e-8, the third column far below. `granules`: one direction, cosines a rounding apart.
    `initial`: SAEs before training.
    """
    generator = torch.Generator().manual_seed(seed)
    size, width = max(rows, columns), 32

    def draw(low: int, high: int, width: int) -> Tensor:
        return torch.randint(low, high, (size, width), generator=generator).float()

    if kind == "signs":
        one, other = draw(-1, 2, 4), draw(-1, 2, 4)
    elif kind == "axes":
        axes = torch.cat([torch.eye(width), -torch.eye(width)])
        one, other = (axes[draw(0, 2 * width, 1).long()[:, 0]] for _ in range(2))
    elif kind == "copies":
        one = torch.randn(size, width, generator=generator)
        other = one[(draw(0, size, 1)[:, 0] ** 2 / size).long()]
    elif kind in ("opposite", "all_zero", "one_not_zero"):
        one = torch.ones(size, width) if kind == "opposite" else torch.zeros(size, width)
        other = -one
        if kind == "one_not_zero":
            one[3], other[5] = 1.0, 1.0
    elif kind == "ladder":
        angle = torch.arange(size).div(2, rounding_mode="floor") * 2 * math.pi / size
        one = torch.stack([angle.cos(), angle.sin()], 1)
        other = torch.stack([(angle + math.pi / size).cos(), (angle + math.pi / size).sin()], 1)
    elif kind == "price_wars":
        centres = torch.nn.functional.normalize(torch.randn(size // 3 + 1, width, generator=generator), dim=1)
        group = torch.arange(size) // 3
        one = centres[group] + 1e-4 * torch.randn(size, width, generator=generator)
        other = one + 1e-4 * torch.randn(size, width, generator=generator)
        other[2::3] = centres[group[2::3]] + 1.5 * torch.randn(len(other[2::3]), width, generator=generator)
    elif kind == "granules":
        one, other = (1 + 1e-4 * torch.randn(size, width, generator=generator) for _ in range(2))
    else:
        one, other = init_weights(seed, width, size), init_weights(seed + 1, width, size)
    return one[:rows], other[torch.randperm(size, generator=generator)][:columns]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", TIES)
@pytest.mark.parametrize(("rows", "columns"), [(300, 300), (270, 300), (300, 303)])
def test_ties_end_at_the_optimum(kind: str, rows: int, columns: int) -> None:
    for seed, candidates in ((0, 4), (1, 16)):
        one, other = tied(kind, rows, columns, seed)
        check(assign(one, other, candidates), one, other)


@pytest.mark.parametrize("kind", ["signs", "price_wars", "granules"])
def test_ties_at_usual_settings(kind: str) -> None:
    one, other = tied(kind, 700, 700)
    check(assign(one, other), one, other)


@pytest.mark.parametrize("kind", ["trained", "near_ties", "one_direction"])
@pytest.mark.parametrize(("rows", "columns"), [(240, 240), (200, 240)])
def test_prices_fall_by_whole_steps(kind: str, rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds the solver's work: every cost it sees is a multiple of the step, in rounds that begin from fine
    potentials too; the first round goes through all steps, later ones through those finer than what was missing."""
    solver, solve, costs, steps = scipy.sparse.csgraph.min_weight_full_bipartite_matching, assignment._solve, [], []

    def kept(graph: Any) -> Any:
        costs.append(graph.data.copy())
        return solver(graph)

    def counted(*given: Any) -> Any:
        steps.append([step for step in assignment.STEPS if step < given[-1]] or [assignment.STEPS[-1]])
        return solve(*given)

    monkeypatch.setattr(scipy.sparse.csgraph, "min_weight_full_bipartite_matching", kept)
    monkeypatch.setattr(assignment, "_solve", counted)
    found = assign(*decoders(kind, rows, columns), 4)
    assert len(steps) == (10 if found.path == "dense" else 1 + found.path.count("+")) > 1
    assert steps[0] == list(assignment.STEPS)
    for seen, step in zip(costs, chain.from_iterable(steps), strict=True):
        assert (seen / step == np.round(seen / step)).all()


@pytest.mark.parametrize(("size", "threads"), [(100, 1), (1100, 2)])
def test_few_pairs_take_one_thread(size: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = torch.get_num_threads(), []
    first = assignment._Search._first
    monkeypatch.setattr(
        assignment._Search, "_first", lambda search: (seen.append(torch.get_num_threads()), first(search))[1]
    )
    try:
        torch.set_num_threads(2)
        one, other = decoders("random", size, size)
        found = assign(one, other)
        assert seen == [threads]
        assert torch.get_num_threads() == 2
        prove(one, other, found)
        with pytest.raises(FaithfulError, match="not finite"):
            assign(one * math.nan, other)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["one_direction", "one_dead_direction", "zeros"])
@pytest.mark.parametrize(("rows", "columns"), [(300, 300), (300, 320), (320, 300)])
def test_the_dense_solver_is_proven_too(kind: str, rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "ROUNDS", 1)
    one, other = decoders(kind, rows, columns)
    found = assign(one, other, 2)
    assert found.path == "dense"
    check(found, one, other)


def test_where_the_dense_matrix_is_too_large_rounds_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "ROUNDS", 1)
    monkeypatch.setattr(assignment, "DENSE_BYTES", 0)
    one, other = decoders("one_direction", 300, 300)
    found = assign(one, other, 2)
    assert found.path.count("+") >= 1
    check(found, one, other)
    monkeypatch.setattr(assignment, "ROUNDS", 100)
    assert found.path.count("+") < assign(one, other, 2).path.count("+")


@pytest.mark.parametrize("kind", ["trained", "one_direction", "zeros"])
def test_products_that_are_not_kept_give_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = decoders(kind, 400, 430)
    kept = assign(one, other, 8)
    monkeypatch.setattr(assignment, "HELD_BYTES", 0)
    monkeypatch.setattr(assignment, "ROWS_PER_PRODUCT", 128)
    monkeypatch.setattr(assignment, "PIECE", {"cpu": 7 * 430})
    found = assign(one, other, 8)
    check(found, one, other)
    assert found.cosines.sum() == pytest.approx(kept.cosines.sum(), abs=1e-5)
    monkeypatch.setattr(assignment, "ROUNDS", 1)
    dense = assign(one, other, 2)
    assert dense.path == "dense"
    check(dense, one, other)


@pytest.mark.parametrize("kind", ["trained", "one_direction", "zeros"])
def test_products_in_a_file_give_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for one, other in (decoders(kind, 400, 430), decoders(kind, 430, 400)):
        monkeypatch.setattr(assignment, "BYTES_IN_MEMORY", 2**26)
        monkeypatch.setattr(assignment, "PIECE", {"cpu": 7 * 430})
        monkeypatch.setattr(assignment, "ROWS_PER_PRODUCT", 128)
        kept = assign(one, other, 8)
        monkeypatch.setattr(assignment, "BYTES_IN_MEMORY", 0)
        found = assign(one, other, 8)
        assert {name: np.array(value).tolist() for name, value in vars(found).items() if name != "proof"} == {
            name: np.array(value).tolist() for name, value in vars(kept).items() if name != "proof"
        }
        assert found.proof == kept.proof


def test_a_temporary_folder_without_room_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assignment, "BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(assignment.tempfile, "TemporaryFile", full)
    with pytest.raises(FaithfulError, match=r"no room for the cosines of two SAEs: No space left.*TMPDIR"):
        assign(*decoders("trained", 40, 43))


def test_a_permuted_copy_finds_itself() -> None:
    one, _ = decoders("random", 700, 700)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(1))
    found = assign(one, one[order])
    assert (order[found.columns] == torch.arange(700)).all()
    assert found.cosines == pytest.approx(np.ones(700), abs=1e-6)


@pytest.mark.parametrize("columns", [500, 530])
def test_another_assignment_is_no_optimum(columns: int) -> None:
    """Two partners exchanged: the proof's gap is what that costs."""
    one, other = decoders("trained", 500, columns)
    found = assign(one, other)
    assert prove(one, other, found) == assignment.Proof(0, 0)
    exchanged = found.columns.copy()
    exchanged[[3, 141]] = exchanged[[141, 3]]
    cosines = cosines_of(one, other)
    loss = best_sum(cosines) - cosines[found.rows, exchanged].sum()
    assert loss > 0.01
    wrong = assignment.replace(found, columns=exchanged)
    assert prove(one, other, wrong).gap == pytest.approx(loss, abs=1e-5)


def test_a_column_left_over_that_is_better_shows_in_the_gap() -> None:
    one, other = decoders("trained", 300, 400)
    found = assign(one, other)
    free = np.setdiff1d(np.arange(400), found.columns)
    moved = found.columns.copy()
    moved[5] = free[0]
    cosines = cosines_of(one, other)
    loss = best_sum(cosines) - cosines[found.rows, moved].sum()
    assert prove(one, other, assignment.replace(found, columns=moved)).gap == pytest.approx(loss, abs=1e-5)


def test_potentials_that_are_too_low_are_found_out() -> None:
    one, other = decoders("trained", 500, 500)
    found = assign(one, other)
    lower = found.row_potentials.copy()
    lower[7] -= 0.25
    proof = prove(one, other, assignment.replace(found, row_potentials=lower))
    assert proof.excess == pytest.approx(0.25, abs=1e-9)
    assert proof.gap == pytest.approx(0, abs=1e-9)


def test_negative_potentials_of_columns_left_over_prove_nothing() -> None:
    one, other = decoders("trained", 300, 400)
    found = assign(one, other)
    shifted = assignment.replace(
        found, row_potentials=found.row_potentials + 0.1, column_potentials=found.column_potentials - 0.1
    )
    assert prove(one, other, shifted).gap > 0.1


def test_the_order_of_the_two_does_not_matter() -> None:
    one, other = decoders("trained", 300, 360)
    forth, back = assign(one, other), assign(other, one)
    assert prove(other, one, back) == assignment.Proof(0, 0)
    order = np.argsort(back.columns)
    assert (back.rows[order] == forth.columns).all()
    assert (back.best_of_rows == forth.best_of_columns).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_lengths_and_types_do_not_matter(scale: float, dtype: torch.dtype) -> None:
    one, other = (side.to(dtype) for side in decoders("trained", 300, 300))
    lengths = scale * torch.rand(300, 1, dtype=torch.float64)
    stretched = (one.double() * lengths).to(dtype)
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    assert assign(stretched, other).cosines == pytest.approx(assign(one, other).cosines, abs=tolerance)


def test_rows_of_length_zero_have_cosine_zero() -> None:
    one, other = decoders("zeros", 400, 400)
    found = assign(one, other, 8)
    empty = (one[found.rows] == 0).all(1) | (other[found.columns] == 0).all(1)
    assert 40 < empty.sum() < 120
    assert (found.cosines[empty.numpy()] == 0).all()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_values_that_are_not_finite_are_refused(value: float, side: int) -> None:
    both = decoders("trained", 30, 30)
    both[side][4, 2] = value
    with pytest.raises(FaithfulError, match="not finite"):
        assign(*both)


@pytest.mark.parametrize(("one", "other"), [((0, 8), (5, 8)), ((5, 8), (0, 8)), ((5, 8), (5, 9))])
def test_decoders_that_do_not_fit_are_refused(one: tuple[int, int], other: tuple[int, int]) -> None:
    with pytest.raises(FaithfulError, match="cannot be matched"):
        assign(torch.ones(one), torch.ones(other))


def test_later_rounds_leave_out_steps_above_what_was_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    best = assignment._best_partners
    monkeypatch.setattr(
        assignment, "_best_partners", lambda pairs, *given: (seen.append(pairs.values), best(pairs, *given))[1]
    )
    pairs = assignment._Pairs(np.array([0, 1, 2, 3]), np.array([0.5, 0.2, 0.1, 0.3]), 2)
    for missing, steps in ((math.inf, assignment.STEPS), (1e-4, assignment.STEPS[1:]), (1e-9, assignment.STEPS[-1:])):
        seen.clear()
        partners = assignment._solve(pairs, np.array([1, 0]), np.zeros(2), np.zeros(2), missing)[0]
        assert partners.tolist() == [0, 1] and len(seen) == len(steps)
        for values, step in zip(seen, steps, strict=True):
            assert (values / step == np.round(values / step)).all() and np.abs(values - pairs.values).max() <= step
