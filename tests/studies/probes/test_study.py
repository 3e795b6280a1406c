"""`faithful study probes`: fits against scikit-learn, pooling against loops, tasks of every kind, a small grid."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_matrix, issparse

from benchmarks.sampling_calibration import of_run
from faithful.base.errors import FaithfulError
from faithful.formats.files import save_sae
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.sae.topk import TopKSAE
from faithful.store.corpus import Corpus
from generation.external.encoder import Encoder
from generation.sources.resolve import resolve_source
from generation.sources.source import Row
from generation.writing.grams import GRAM
from studies.common.panel import ordinary_ids
from studies.common.results import Done
from studies.probes import embedded_tasks
from studies.probes import features as probe_features
from studies.probes import score as probe_cells
from studies.probes import study as probes
from studies.probes.config import ProbesConfig
from studies.probes.embedded_tasks import RULES, EmbeddedText, is_test_module
from studies.probes.features import Pooled, pool_features, text_rows
from studies.probes.fit import CS, by_mean_difference, fit, fit_cross_validated, spread_folds
from studies.probes.overlap import overlaps
from studies.probes.read_tasks import load_task
from studies.probes.score import pack, plan_probes, probe_cell, score, stratified_order, unpack
from studies.probes.study import study_probes
from studies.probes.tables import probes_tables
from studies.probes.task_data import Draw, Examples, Reservoir, TaskData, text_hash
from studies.probes.tasks import Task, embedded_names, find_task, known_tasks
from tests.documented import names_of_study, undocumented
from tests.generation.sources.hub_server import SHA, Hub, serving
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]
RNG = np.random.default_rng


def problem(n: int, d: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of unequal size and noisy labels."""
    rng = RNG(seed)
    x = rng.standard_normal((n, d)) * rng.uniform(0.5, 2, d) + rng.standard_normal(d)
    return x, (x @ rng.standard_normal((d, classes)) + 3 * rng.standard_normal((n, classes))).argmax(1)


def task_data(y: np.ndarray, tests: int, groups: list[str] | None = None) -> TaskData:
    """A task of labels alone, the last `tests` held out."""
    train = len(y) - tests
    sides = [
        Examples([""] * len(part), part, groups[:train] if groups and part is y[:train] else None, [""] * len(part))
        for part in (y[:train], y[train:])
    ]
    if groups:
        sides[0] = replace(sides[0], groups=groups[:train])
    return TaskData(Task("made", "files", "made"), tuple(map(str, range(y.max() + 1))), *sides, {}, None)


# Fits


@pytest.mark.parametrize(("n", "d", "classes"), [(120, 15, 2), (60, 200, 2), (60, 200, 4), (150, 10, 3)])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_same_c_gives_scikit_learns_coefficients(n: int, d: int, classes: int, c: float) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = problem(n, d, classes)
    theirs = LogisticRegression(C=c, tol=1e-9, max_iter=20_000).fit(x, y)
    for given in (x, csr_matrix(x)):
        ours = fit(given, y, c, standardise=False)
        np.testing.assert_allclose(ours.coefficients, theirs.coef_.T, atol=3e-3 * np.abs(theirs.coef_).max())
        expected = theirs.decision_function(x).reshape(n, -1)
        scores = ours.scores(given)
        shift = 0 if classes == 2 else (scores - expected).mean(1, keepdims=True)
        np.testing.assert_allclose(scores - shift, expected, atol=5e-3 * np.abs(expected).max())
        assert (ours.predict(given) == theirs.predict(x)).mean() > 0.99


def test_features_are_standardised_and_constant_ones_do_nothing() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = problem(80, 12, 2, 1)
    scaled = (x - x.mean(0)) / x.std(0) / 12**0.5
    assert np.mean((scaled**2).sum(1)) == pytest.approx(1)
    theirs = LogisticRegression(C=10.0, tol=1e-10, max_iter=20_000).fit(scaled, y)
    wider = np.concatenate([x * 1e3 + 5e3, np.full((80, 3), 7.0)], axis=1)
    ours = fit(wider, y, 10.0)
    np.testing.assert_allclose(ours.scores(wider)[:, 0], theirs.decision_function(scaled), atol=5e-3)
    assert not ours.coefficients[12:].any()
    flat = fit(np.ones((80, 3)), y, 1.0)
    assert flat.scores(np.ones((1, 3)))[0, 0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=1e-3)


@pytest.mark.parametrize(("d", "classes"), [(8, 2), (100, 3)])
def test_c_has_the_smallest_held_out_cross_entropy(d: int, classes: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    x, y = problem(72, d, classes, 2)
    folds = spread_folds(y, None, 4, 0)
    ours = fit_cross_validated(x, y, folds)
    scaled = (x - x.mean(0)) / x.std(0) / d**0.5
    expected = []
    for c in CS[: len(ours.losses)]:
        total = 0.0
        for fold in range(4):
            used = folds != fold
            model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(scaled[used], y[used])
            total += log_loss(y[~used], model.predict_proba(scaled[~used]), normalize=False, labels=range(classes))
        expected.append(total / len(y))
    np.testing.assert_allclose(ours.losses, expected, rtol=3e-3)
    assert ours.c == CS[int(np.argmin(expected))]
    assert len(ours.losses) == len(CS) or ours.losses[-1] > ours.losses[-2]
    whole = LogisticRegression(C=ours.c, tol=1e-8, max_iter=5000).fit(scaled, y)
    assert (ours.predict(x) == whole.predict(scaled)).mean() > 0.98


def test_probes_that_cannot_be_are_refused() -> None:
    x, _ = problem(20, 5, 2)
    with pytest.raises(FaithfulError, match="two classes"):
        fit(x, np.zeros(20, np.int64), 1.0)
    x[3, 2] = np.nan
    with pytest.raises(FaithfulError, match="not finite"):
        fit(x, np.arange(20) % 2, 1.0)


def test_folds_keep_groups_whole_and_classes_even() -> None:
    rng = RNG(3)
    groups = [f"g{number}" for number in rng.integers(0, 60, 400)]
    y = rng.integers(0, 3, 400)
    folds = spread_folds(y, groups, 4, 0)
    for group in set(groups):
        assert len({fold for fold, of in zip(folds, groups, strict=True) if of == group}) == 1
    counts = np.array([np.bincount(y[folds == fold], minlength=3) for fold in range(4)])
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()
    alone = spread_folds(y, None, 4, 0)
    shares = np.array([np.bincount(y[alone == fold], minlength=3) for fold in range(4)])
    assert (np.ptp(shares, axis=0) <= 1).all()
    assert (alone == spread_folds(y, None, 4, 0)).all() and (alone != spread_folds(y, None, 4, 1)).any()


def test_latents_are_chosen_by_the_largest_class_mean_difference() -> None:
    y = np.array([0, 0, 1, 1, 2, 2])
    x = np.array([[9, 0, 1, 5], [9, 0, 1, 5], [9, 3, 1, 5], [9, 3, 1, 5], [9, 0, 7, 5], [9, 0, 7, 5.0]])
    for given in (x, csr_matrix(x)):
        assert by_mean_difference(given, y).tolist() == [2, 1, 0, 3]


# One SAE on one task


def test_a_planted_label_is_recovered_and_a_random_one_is_not() -> None:
    rng = RNG(4)
    n, tests = 600, 300
    h = rng.standard_normal((n, 40)).astype(np.float32)
    planted, random = (h @ rng.standard_normal(40) > 0).astype(np.int64), rng.integers(0, 2, n)
    f = np.abs(rng.standard_normal((n, 90)) * (rng.random((n, 90)) < 0.2)).astype(np.float32)
    f[:, 17] = 2.0 * planted + 0.1 * rng.random(n)
    data = task_data(planted, tests)
    found = probe_cell({"h": h, "f": csr_matrix(f)}, data, plan_probes(data, 4, 2, (1, 5), 0), ("f",))
    full = {entry["input"]: entry for entry in found if entry["probe"] == "full" and entry["size"] == 300}
    assert full["h"]["accuracy"] > 0.95 and full["f"]["accuracy"] == 1
    sparse = {entry["k"]: entry for entry in found if entry["probe"] == "k-sparse"}
    assert sparse[1]["latents"] == [17] and sparse[1]["accuracy"] == 1 and sparse[5]["latents"][0] == 17
    small = next(entry for entry in found if entry["input"] == "h" and entry["size"] == 75)
    assert 0.6 < small["accuracy"] < full["h"]["accuracy"]
    chance = task_data(random, tests)
    for entry in probe_cell({"h": h, "f": f}, chance, plan_probes(chance, 4, 1, (1,), 0), ("f",)):
        assert entry["accuracy"] < chance.majority + 0.09
        assert entry["accuracy_ci95"][0] < 0.5 < entry["accuracy_ci95"][1] + 0.05


def test_nothing_is_learned_from_the_test_examples() -> None:
    rng = RNG(5)
    y = rng.integers(0, 3, 200)
    x = rng.standard_normal((200, 30)) + y[:, None] * rng.random(30)
    data = task_data(y, 80)
    plan = plan_probes(data, 4, 2, (1, 3), 0)
    learned = ("input", "probe", "size", "k", "c", "train_accuracy", "latents")
    seen = [{key: entry.get(key) for key in learned} for entry in probe_cell({"f": x}, data, plan, ("f",))]
    other = x.copy()
    other[120:] = 1e3 * rng.standard_normal((80, 30))
    changed = replace(data, test=replace(data.test, y=rng.permutation(data.test.y)))
    again = probe_cell({"f": other}, changed, plan_probes(changed, 4, 2, (1, 3), 0), ("f",))
    assert [{key: entry.get(key) for key in learned} for entry in again] == seen


def test_every_input_is_probed_on_the_same_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    y = RNG(6).integers(0, 2, 120)
    groups = [f"g{place // 3}" for place in range(120)]
    data = task_data(y, 40, groups)
    plan = plan_probes(data, 4, 2, (2,), 0)
    real, given = fit_cross_validated, []

    def spied(x: Any, y: np.ndarray, folds: np.ndarray) -> Any:
        given.append((len(y), folds.tolist(), y.tolist()))
        return real(x, y, folds)

    monkeypatch.setattr(probe_cells, "fit_cross_validated", spied)
    features = {name: RNG(place).random((120, 20 + place)) for place, name in enumerate(("h", "f", "h_hat"))}
    probe_cell(features, data, plan, ("h", "f"))
    assert len(given) == 3 * 2 + 2 and {size for size, *_ in given} == {20, 80}
    for size in (20, 80):
        assert len({json.dumps(rest) for found, *rest in given if found == size}) == 1
    assert plan.folds_of == "groups" and plan_probes(task_data(y, 40), 4, 1, (), 0).folds_of == "examples"
    for group in set(groups[:80]):
        assert len(set(plan.folds[[of == group for of in groups[:80]]])) == 1


def test_sizes_of_the_curve_are_nested_and_hold_every_class() -> None:
    y = np.repeat([0, 0, 0, 0, 1], 40)
    data = task_data(np.concatenate([y, y]), len(y))
    plan = plan_probes(data, 4, 5, (5, 1, 5), 0)
    assert plan.sizes == (12, 50, 200) and plan.ks == (1, 5)
    order = stratified_order(y, 0)
    for size in plan.sizes:
        assert np.bincount(y[order[:size]])[1] == pytest.approx(size / 5, abs=1.5)


def test_a_class_of_one_group_gets_folds_of_examples() -> None:
    y = np.array([0] * 30 + [1] * 8)
    data = task_data(np.concatenate([y, y]), len(y), ["a"] * 15 + ["b"] * 15 + ["c"] * 8 + ["d"] * 38)
    plan = plan_probes(data, 4, 1, (), 0)
    assert len(set(plan.folds[30:])) > 1 and plan.folds_of == "examples"


def test_scores_are_scikit_learns() -> None:
    from sklearn.metrics import accuracy_score, f1_score

    rng = RNG(7)
    y = rng.integers(0, 3, 90)
    said = np.stack([np.where(rng.random(90) < 0.7, y, rng.integers(0, 3, 90)), np.zeros(90, np.int64)], axis=1)
    for place, entry in enumerate(score(y, said, 4, 0)):
        assert entry["accuracy"] == pytest.approx(accuracy_score(y, said[:, place]))
        expected = f1_score(y, said[:, place], labels=range(4), average="macro", zero_division=0)
        assert entry["macro_f1"] == pytest.approx(expected)
        for metric in ("accuracy", "macro_f1"):
            low, high = entry[f"{metric}_ci95"]
            assert low < entry[metric] < high
    spread = np.sqrt(0.8 * 0.2 / 90)
    low, high = score(y, said[:, :1], 3, 1)[0]["accuracy_ci95"]
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)


# Features


def random_sae(d_in: int, d_sae: int, k: int, seed: int) -> TopKSAE:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)
    return TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, 0.1 * torch.randn(d_in, generator=generator), k)


def pooled(model: Model, family: str, texts: list[str], pooling: str = "mean") -> tuple[Pooled, Any]:
    spec, whole = model(family)
    encoder = Encoder(load_tokenizer(spec.source, None), spec, 31)
    truncated = TruncatedModel(whole, Hook(1, "resid_pre"))
    saes = [random_sae(truncated.d_in, 48, 3, 0), random_sae(truncated.d_in, 300, 2, 1)]
    rows = text_rows(texts, encoder, spec.bos_id)
    return pool_features(truncated, saes, rows, ordinary_ids(spec), pooling), (truncated, saes, rows, spec)


TEXTS = [
    "The keeper counted the boats.",
    "a",
    "There were seven, and there should have been eight of them by then. " * 3,
]


@pytest.mark.parametrize("pooling", ["mean", "last", "max"])
@pytest.mark.parametrize("family_name", ["gpt2", "gemma2"])
def test_pools_are_over_the_texts_own_tokens(family_model: Model, family_name: str, pooling: str) -> None:
    """Against each text by itself, so that neither padding nor what shares its batch can matter."""
    found, (truncated, saes, rows, spec) = pooled(family_model, family_name, TEXTS, pooling)
    reduce = {"mean": lambda x: x.mean(0), "last": lambda x: x[-1], "max": lambda x: x.amax(0)}[pooling]
    assert len({len(row) for row in rows}) == 3
    for place, row in enumerate(rows):
        assert row[0] == spec.bos_id and not np.isin(row[1:], [spec.bos_id, *spec.eos_ids]).any()
        h = truncated(torch.from_numpy(row)[None])[0, 1:]
        np.testing.assert_allclose(found.h[place], reduce(h), atol=2e-5)
        for at, sae in enumerate(saes):
            codes = found.codes[at].toarray() if issparse(found.codes[at]) else found.codes[at]
            np.testing.assert_allclose(codes[place], reduce(sae.encode(h)), atol=2e-5)
            np.testing.assert_allclose(found.rebuilt[at][place], reduce(sae.reconstruct(h)), atol=2e-5)
    assert issparse(found.codes[1])


def test_features_do_not_depend_on_the_batch(family_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'boats and lamps ' * (place % 5)}number {place}" for place in range(40)]
    whole, _ = pooled(family_model, "gpt2", texts)
    monkeypatch.setattr(probe_features, "ROWS_PER_FORWARD", 7)
    monkeypatch.setattr(probe_features, "SPARSE", 0.0)
    again, _ = pooled(family_model, "gpt2", texts[::-1])
    np.testing.assert_allclose(whole.h, again.h[::-1], atol=2e-5)
    np.testing.assert_allclose(whole.codes[1].toarray(), again.codes[1][::-1], atol=2e-5)
    np.testing.assert_allclose(whole.rebuilt[0], again.rebuilt[0][::-1], atol=2e-5)


def test_masks_reach_the_model_and_special_tokens_no_pool(family_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, whole = family_model("llama")
    truncated, ordinary = TruncatedModel(whole, Hook(1, "resid_pre")), ordinary_ids(spec)
    body = np.array([40, 50, 60])
    plain, ended = (np.concatenate([[spec.bos_id], body, end]).astype(np.int64) for end in ([], [spec.eos_ids[0]]))
    masks = []
    real = TruncatedModel.__call__

    def spied(self: Any, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        masks.append(mask)
        return real(self, ids, mask)

    monkeypatch.setattr(TruncatedModel, "__call__", spied)
    sae = random_sae(truncated.d_in, 32, 2, 0)
    only = np.array([spec.bos_id], np.int64)
    for pooling in probe_features.POOLINGS:
        found = pool_features(truncated, [sae], [plain, ended, only], ordinary, pooling)
        np.testing.assert_allclose(found.h[0], found.h[1], atol=1e-5)
        assert not found.h[2].any() and not found.rebuilt[0][2].any()
    assert masks[0].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 0, 0, 0, 0]]
    with pytest.raises(FaithfulError, match="choose mean, last, max"):
        pool_features(truncated, [], [plain], ordinary, "sum")


# Tasks

DRAW = Draw(40, 20, 0, 4)


def no_text() -> EmbeddedText:
    """For tasks that are not made of embedded text."""
    return EmbeddedText(lambda: pytest.fail("the tokenizer is not needed"), None, 32)  # type: ignore[arg-type]


def rows_of(count: int, groups: int = 12) -> list[dict[str, Any]]:
    rng = RNG(8)
    return [
        {
            "review": f"text {number} {'bad' if label else 'good'}",
            "stars": int(label),
            "shop": f"s{number % groups}",
            "n": 1,
        }
        for number, label in enumerate(rng.integers(0, 2, count))
    ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_csv_and_parquet_give_the_same_task_in_any_order(tmp_path: Path) -> None:
    rows = rows_of(90)
    table = write_csv(tmp_path / "reviews.csv", rows)
    pq.write_table(pa.Table.from_pylist(rows[::-1] + rows[:30]), tmp_path / "reviews.parquet")
    one = load_task(find_task(f"{table}:review:stars"), DRAW, no_text())
    other = load_task(find_task(str(tmp_path / "reviews.parquet"), "review", "stars"), DRAW, no_text())
    assert one.task.name == "reviews" and one.labels == ("0", "1") and one.train.groups is None
    assert one.sha256 == other.sha256 and one.revision != other.revision
    assert not set(one.train.texts) & set(one.test.texts) and len(set(one.train.texts)) == len(one.train.texts) <= 40
    assert 10 <= len(one.test.y) <= 20
    for text, label in zip(one.train.texts, one.train.y, strict=True):
        assert label == ("bad" in text)
    elsewhere = load_task(find_task(f"{table}:review:stars"), replace(DRAW, seed=1), no_text())
    assert set(elsewhere.test.texts) != set(one.test.texts)


def test_no_group_is_on_both_sides(tmp_path: Path) -> None:
    rows = rows_of(200, groups=25)
    data = load_task(
        find_task(f"{write_csv(tmp_path / 'r.csv', rows)}:review:stars:shop"), Draw(400, 200, 0, 4), no_text()
    )
    assert data.train.groups and data.test.groups
    assert not set(data.train.groups) & set(data.test.groups)
    assert len(data.train.y) + len(data.test.y) == 200
    shops = {row["review"]: row["shop"] for row in rows}
    assert [shops[text] for text in data.test.texts] == data.test.groups


def test_a_saved_set_is_read_by_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def part(name: str, count: int, label: int | None = None) -> Any:
        labels = [number % 2 if label is None else label for number in range(count)]
        feature = datasets.ClassLabel(names=["no", "yes"])
        texts = [f"{name} {number}" for number in range(count)]
        made = datasets.Dataset.from_dict({"text": texts, "label": labels})
        return made if label is not None else made.cast_column("label", feature)

    folder = tmp_path / "saved"
    validation = datasets.concatenate_datasets([part("validation", 30), part("train", 6)])
    splits = {"train": part("train", 50), "test": part("test", 9, -1), "validation": validation}
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    data = load_task(find_task(str(folder)), Draw(100, 100, 0, 4), no_text())
    assert len(data.test.y) == 36 and len(data.train.y) == 44
    assert data.left_out == {"also among the test examples": 6}
    assert data.labels == ("0", "1")


@pytest.mark.parametrize("labels", [("-1", "1"), ("-1", "0", "1")])
def test_minus_one_is_a_class_where_classes_have_no_names(tmp_path: Path, labels: tuple[str, ...]) -> None:
    rows = [row | {"stars": int(labels[place % len(labels)])} for place, row in enumerate(rows_of(90))]
    by_text = {row["review"]: str(row["stars"]) for row in rows}
    table = write_csv(tmp_path / "r.csv", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    for path in (table, tmp_path / "r.parquet"):
        data = load_task(find_task(f"{path}:review:stars"), DRAW, no_text())
        assert data.labels == labels and not data.left_out
        for side in (data.train, data.test):
            assert [labels[y] for y in side.y] == [by_text[text] for text in side.texts]


def test_rows_without_a_number_as_label_are_left_out(tmp_path: Path) -> None:
    stars = [float("nan") if place % 6 == 0 else float(place % 2) for place in range(90)]
    rows = [row | {"stars": value} for row, value in zip(rows_of(90), stars, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    data = load_task(find_task(f"{tmp_path / 'r.parquet'}:review:stars"), DRAW, no_text())
    assert data.labels == ("0", "1") and data.left_out == {"no label": 15}


def test_minus_one_of_a_named_class_is_no_label_and_groups_of_a_saved_set_are_kept_apart(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def part(name: str, count: int, users: int) -> Any:
        columns = {
            "text": [f"{name} {number}" for number in range(count)],
            "label": [number % 3 - 1 for number in range(count)],
            "user": [f"u{number % users}" if number % 5 else None for number in range(count)],
        }
        return datasets.Dataset.from_dict(columns).cast_column("label", datasets.ClassLabel(names=["no", "yes"]))

    folder = tmp_path / "saved"
    datasets.DatasetDict({"train": part("train", 90, 10), "test": part("test", 30, 4)}).save_to_disk(str(folder))
    plain = load_task(find_task(str(folder)), Draw(100, 100, 0, 4), no_text())
    assert plain.labels == ("0", "1") and plain.left_out == {"no label": 30} and plain.train.groups is None
    assert (len(plain.train.y), len(plain.test.y)) == (60, 20)
    data = load_task(find_task(f"{folder}:text:label:user"), Draw(100, 100, 0, 4), no_text())
    assert data.train.groups and data.test.groups and not set(data.train.groups) & set(data.test.groups)
    assert data.left_out["of a group among the test examples"] == 60 - len(data.train.y) > 0
    assert {group for group in data.train.groups if group.startswith("u")} == {"u4", "u6", "u7", "u8", "u9"}
    alone = [group for group in data.train.groups if not group.startswith("u")]
    assert len(alone) == len(set(alone)) == 12


def test_drawn_examples_are_kept_until_something_changes(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "reviews.csv", rows_of(90))
    task = find_task(f"{table}:review:stars")
    first = load_task(task, DRAW, no_text(), tmp_path / "tasks")
    kept = list((tmp_path / "tasks").iterdir())
    again = load_task(task, DRAW, no_text(), tmp_path / "tasks")
    assert again.sha256 == first.sha256 and again.left_out == first.left_out and len(kept) == 1
    write_csv(table, rows_of(80))
    assert load_task(task, DRAW, no_text(), tmp_path / "tasks").sha256 != first.sha256
    assert len(list((tmp_path / "tasks").iterdir())) == 2


def test_a_reservoir_keeps_the_smallest_hashes_once() -> None:
    names = [f"t{number}" for number in range(500)]
    whole, small = Reservoir(500, 3), Reservoir(20, 3)
    for name in names + names[::-1]:
        whole.offer(name, (name, 0, ""))
        small.offer(name, (name, 0, ""))
    assert small.items() == whole.items()[:20]
    assert sorted(name for name, _ in whole.items()) == sorted(names)
    assert [name for name, _ in whole.items()] != names
    assert Reservoir(0, 0).items() == []


@pytest.mark.parametrize("order", range(4))
def test_a_text_of_two_classes_is_not_drawn_whatever_the_order(order: int) -> None:
    """Every 7th text has two labels; others stand in two groups, or with other white space: the draw is the same."""
    rows = [(f"t{n}", (f"t{n}", n % 2, f"g{n % 5}")) for n in range(300)]
    rows += [(f"t{n}", (f"t{n}", 1 - n % 2, f"g{n % 5}")) for n in range(0, 300, 7)]
    rows += [(f"t{n}", (f" t{n}", n % 2, "a")) for n in range(1, 300, 7)]
    alone = Reservoir(40, 3)
    for origin, item in rows[:300]:
        alone.offer(origin, item)
    drawn = Reservoir(40, 3)
    for place in RNG(order).permutation(len(rows)):
        drawn.offer(*rows[place])
    assert [origin for origin, _ in drawn.items()] != [origin for origin, _ in alone.items()]
    places = [int(origin[1:]) for origin, _ in drawn.items()]
    assert len(places) == 40 and all(n % 7 for n in places)
    assert 0 < drawn.contradicted() < 40
    assert all(item == (f" t{n}", n % 2, "a") for n, (_, item) in zip(places, drawn.items(), strict=True) if n % 7 == 1)


def test_contradicting_rows_of_a_file_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = rows_of(90)
    both = rows + [row | {"stars": 1 - row["stars"]} for row in rows[:20]]
    wish = f"{tmp_path / 'reviews.csv'}:review:stars"
    found = []
    for given in (both, both[::-1]):
        write_csv(tmp_path / "reviews.csv", given)
        data = load_task(find_task(wish), DRAW, no_text())
        found.append((data.train.texts, data.train.y.tolist(), data.test.texts, data.test.y.tolist(), data.left_out))
    assert found[0] == found[1]
    assert not {row["review"] for row in rows[:20]} & {*found[0][0], *found[0][2]}
    assert found[0][4]["texts that the set gives different classes"] > 0
    clash = [row | {"shop": "other", "stars": 1 - row["stars"]} for row in rows]
    write_csv(tmp_path / "reviews.csv", rows + clash)
    with pytest.raises(FaithfulError, match=r"no two classes|training examples of the class|nothing to test on"):
        load_task(find_task(wish + ":shop"), DRAW, no_text())


@pytest.mark.parametrize(
    ("rows", "wish", "sentence"),
    [
        (rows_of(60), ":review:grade", "has no column 'grade'; it has review, stars, shop, n"),
        (rows_of(60), ":content:stars", "has no column 'content'"),
        (rows_of(60), ":review", "does not name its columns"),
        (rows_of(60), ":review:n", "no two classes"),
        ([row | {"stars": -1} for row in rows_of(60)], ":review:stars", "no two classes"),
        ([row | {"stars": 0.5} for row in rows_of(60)], ":review:stars", "holds 0.5 .* names no class"),
        (rows_of(60), ":stars:review", "holds numbers, such as"),
        (
            [row | {"stars": int(place < 4)} for place, row in enumerate(rows_of(60))],
            ":review:stars",
            "4 folds need as many",
        ),
    ],
)
def test_files_that_make_no_task_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], wish: str, sentence: str
) -> None:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "made.parquet")
    with pytest.raises(FaithfulError, match=sentence):
        load_task(find_task(f"{tmp_path / 'made.parquet'}{wish}"), DRAW, no_text())


@pytest.mark.parametrize("wish", ["nothing", "./missing.csv:a:b", "a/b/c/d:text:label", "missing.csv:a:b"])
def test_names_that_are_no_task_are_refused(wish: str) -> None:
    with pytest.raises(FaithfulError, match="is no task; choose sst2, cola, ag_news, yelp, novel"):
        find_task(wish)


def test_known_tasks_are_complete_and_the_hub_is_asked_only_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_tasks()
    assert [name for name, task in known.items() if task.kind == "hub"] == ["sst2", "cola", "ag_news", "yelp"]
    assert embedded_names() == [name for name in RULES if name in known] == list(RULES)
    assert all(task.about and len(task.labels) > 1 for task in known.values())
    assert find_task("org/set/part:a:b") == Task("part", "hub", "org/set/part", "a", "b")
    monkeypatch.setattr("studies.probes.read_tasks.hub_problem", lambda: "offline mode is on")
    with pytest.raises(FaithfulError) as refused:
        load_task(known["sst2"], DRAW, no_text())
    assert str(refused.value) == (
        "Cannot reach the Hub for the task sst2 (offline mode is on); connect, or choose tasks that need none:"
        " --set tasks=novel,speech,tests,comment, or a file as PATH:TEXT:LABEL."
    )


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue().to_pybytes())


def hub_of_tasks() -> Hub:
    """The sets of the four known tasks and one of one's own, laid out as the real ones are."""
    hub = Hub()

    def add(repo: str, name: str, text: str, classes: int, labelled: tuple[str, ...], unlabelled: str = "") -> None:
        lines = ["---", "configs:", f"- config_name: {name}", "  data_files:"]
        files = hub.files.setdefault(repo, {})
        for split in (*labelled, *([unlabelled] if unlabelled else [])):
            lines += [f"  - split: {split}", f"    path: {name}/{split}-*"]
            rows = [
                {text: f"{split} {row}", "label": -1 if split == unlabelled else row % classes, "idx": row}
                for row in range(80)
            ]
            files[f"{name}/{split}-00000-of-00001.parquet"] = parquet(rows)
        lines += ["- config_name: other", "  data_files: other.parquet", "---", ""] if "glue" in repo else ["---", ""]
        files["README.md"] = "\n".join(lines).encode()

    add("stanfordnlp/sst2", "default", "sentence", 2, ("train", "validation"), "test")
    add("nyu-mll/glue", "cola", "sentence", 2, ("train", "validation"), "test")
    add("fancyzhx/ag_news", "default", "text", 4, ("train", "test"))
    add("fancyzhx/yelp_polarity", "plain_text", "text", 2, ("train", "test"))
    add("open/own", "default", "body", 3, ("train", "validation"), "test")
    return hub


HUB_SCRIPT = """
import json, sys
from studies.probes.embedded_tasks import EmbeddedText
from studies.probes.task_data import Draw
from studies.probes.read_tasks import load_task
from studies.probes.tasks import find_task

class Spec:
    tokenizer_sha256 = ""

found = []
for wish in json.loads(sys.argv[1]):
    try:
        data = load_task(find_task(wish), Draw(40, 20, 0, 4), EmbeddedText(None, Spec, 9))
        sides = [[len(s.y), s.texts[0].split()[0], sorted(set(s.y.tolist()))] for s in (data.train, data.test)]
        found.append([data.labels, data.revision, *sides])
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
print(json.dumps(found))
"""


def test_tasks_of_the_hub_come_from_their_labelled_splits(tmp_path: Path) -> None:
    """From a Hub on this machine, through the real library, in a process that may use the network."""
    wishes = ["sst2", "cola", "ag_news", "yelp", "open/own:body:label", "open/own:body:mood", "open/none"]
    offline = {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN"}
    with serving(hub_of_tasks()) as address:
        environment = {name: value for name, value in os.environ.items() if name not in offline} | {
            "HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_UPDATE_DOWNLOAD_COUNTS": "0", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", HUB_SCRIPT, json.dumps(wishes)],
            env=environment,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    *sets, own, no_column, missing = json.loads(done.stdout)
    known = known_tasks()
    for name, (labels, revision, train, test) in zip(("sst2", "cola", "ag_news", "yelp"), sets, strict=True):
        task = known[name]
        assert labels == list(task.labels) and revision == (task.revision or SHA)
        assert train == [40, "train", list(range(len(labels)))]
        assert test == [20, task.test, list(range(len(labels)))]
    assert own == [["0", "1", "2"], SHA, [40, "train", [0, 1, 2]], [20, "validation", [0, 1, 2]]]
    assert no_column.startswith("FaithfulError: open/own has no column 'mood'; it has body, label, idx")
    assert missing.startswith("FaithfulError: ") and "gated or missing" in missing


def novel() -> str:
    """Twenty short chapters, in which some passages hold a quotation mark."""
    text = []
    for chapter in range(1, 21):
        text.append(f"CHAPTER {chapter}")
        for part in range(30):
            text.append(
                f"{'She said ' if part % 2 else 'It was '}{chapter} and {part}, {'so' if part % 7 else chr(34)}"
            )
    return "\n\n".join(text)


MODULES = {f"test/test_m{n}.py": f'def a{n}():\n    """Doc {n}."""\n    return {n}\n\n' * 9 for n in range(30)} | {
    f"lib{n}.py": f"def b{n}():\n    return {n} * {n + 1}\n\n" * 9 for n in range(30)
}
HELD_OUT = tuple(path for path in MODULES if not path.endswith("7.py"))


def test_embedded_passages_are_held_out_unmarked_and_split_by_chapter_or_file(
    family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = family_model("gpt2")
    novels = {"Emma": novel(), "Northanger Abbey": novel(), "Persuasion": novel().replace("and", "or")}
    sources = {"prose": novels, "stdlib": MODULES}
    whole = {name: resolve_source(name) for name in sources}
    whole["stdlib"] = replace(whole["stdlib"], held_out=HELD_OUT)
    monkeypatch.setattr(embedded_tasks, "resolve_source", whole.__getitem__)
    monkeypatch.setattr(
        embedded_tasks,
        "Rows",
        lambda source, seed: [Row(path, text, path) for path, text in sources[source.name].items()],
    )
    monkeypatch.setattr(embedded_tasks, "LEAST_TOKENS", 12)
    embedded = EmbeddedText(lambda: load_tokenizer(spec.source, None), spec, 48)
    prose, stdlib = embedded.excerpts("prose"), embedded.excerpts("stdlib")
    assert prose is embedded.excerpts("prose")
    held_out = {one.source for one in (*prose, *stdlib)}
    assert held_out == {"Persuasion", "Northanger Abbey", *(path for path in MODULES if path in HELD_OUT)}
    for passage, (ids, closed) in zip(prose, embedded.encoder.encode([one.text for one in prose]), strict=True):
        assert len(ids) - closed >= 12, passage
    assert not any('"' in passage.shown for passage in prose) and any('"' in passage.text for passage in prose)
    assert not any('"""' in passage.shown or "#" in passage.shown for passage in stdlib)
    chapters = {passage.group for passage in prose}
    assert {chapter.split(",")[0] for chapter in chapters} == {"Northanger Abbey", "Persuasion"} and len(chapters) > 10
    for passage in prose:
        heading = [int(line.split()[1]) for line in passage.text.splitlines() if line.startswith("CHAPTER")]
        assert not heading or passage.group.endswith(f"chapter {heading[-1]}")
    tasks = {
        name: load_task(known_tasks()[name], Draw(20, 12, 0, 1), embedded) for name in ("speech", "tests", "comment")
    }
    for data in tasks.values():
        assert data.train.groups and data.test.groups and not set(data.train.groups) & set(data.test.groups)
        assert not set(data.train.origins) & set(data.test.origins)
    assert tasks["tests"].texts == tasks["comment"].texts
    by_text = {passage.shown: passage for passage in stdlib}
    for text, label in zip(tasks["tests"].train.texts, tasks["tests"].train.y, strict=True):
        assert label == by_text[text].source.startswith("test/")


def test_test_modules_are_told_by_their_paths() -> None:
    assert all(map(is_test_module, ("test/x.py", "idlelib/idle_test/x.py", "a/test_b.py")))
    assert not any(map(is_test_module, ("latest/b.py", "c.py", "unittest/mock.py")))


def test_overlap_counts_whole_texts_and_runs_of_tokens(tmp_path: Path, family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    tokenizer = load_tokenizer(spec.source, None)
    encoder = Encoder(tokenizer, spec, 127)

    def tokens(*texts: str) -> list[np.ndarray]:
        return [row[1:] for row in text_rows(texts, encoder, spec.bos_id)]

    whole, inside, other = (
        "The keeper counted the boats that morning.",
        "seven boats, and there should have been eight",
        "one",
    )
    known = tokens(f"Before: {inside}. After", whole)
    folder = write_external(tmp_path / "web", spec, {"train": known, "test": tokens("held out, " * 6)})
    asked = [whole, f"It said {inside} and went on", other, "nothing like it at all, " * 3, "held out, " * 6]
    found = overlaps(
        Corpus(folder), [([text_hash(text) for text in asked], tokens(*asked)), ([text_hash(other)], tokens(other))]
    )
    assert vars(found[0]) == {"texts": 1, "grams": 2, "short": 1, "examples": 5}
    assert vars(found[1]) == {"texts": 0, "grams": 0, "short": 1, "examples": 1}
    assert all(len(row) >= GRAM for row in tokens(whole, asked[1]))
    split = write_external(tmp_path / "split", spec, {"train": [known[1][:8], known[1][8:]]})
    assert overlaps(Corpus(split), [([text_hash(whole)], tokens(whole))])[0].grams == 0


# The study

SHAPE = "resid_pre.1-f64-k3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora, three SAEs each, three tasks as files; never change it."""
    spec, whole = family_model("gpt2")
    folder = tmp_path_factory.mktemp("probes") / "runs" / "tried"
    rng = RNG(9)
    for name in ("own", "web"):
        documents = [rng.integers(0, 250, 30) for _ in range(40)]
        write_external(folder / "corpora" / name, spec, {"train": documents, "test": documents[:20]})
    d_in = TruncatedModel(whole, Hook(1, "resid_pre")).d_in
    metadata = {"model_name": "tiny-gpt2", "hook_name": "blocks.1.hook_resid_pre"}
    for place, name in enumerate(("own", "web")):
        for seed in range(3):
            sae = random_sae(d_in, 64, 3, 10 * place + seed)
            save_sae(folder / "saes" / name / SHAPE / f"seed-{seed}", sae, metadata)
    words = ["harbour", "evening", "lamp", "tide", "keeper", "knot", "ring", "water"]
    easy, hard = [], []
    for number in range(160):
        text = " ".join(rng.choice(words, 6)) + f" {number}"
        easy.append({"text": f"{'XXXX' if number % 2 else 'zzzz'} {text}", "label": number % 2})
        hard.append({"text": text, "label": int(rng.integers(0, 2))})
    write_csv(folder / "easy.csv", easy)
    write_csv(folder / "hard.csv", hard)
    write_csv(folder / "odd.csv", [row | {"label": "odd" if number % 3 else "even"} for number, row in enumerate(easy)])
    return folder


def configured(run: Path, out: Path, **values: Any) -> ProbesConfig:
    defaults: dict[str, Any] = {
        "tasks": tuple(f"{run / name}.csv:text:label" for name in ("easy", "hard")),
        "train_size": 80, "test_size": 40, "curve_points": 2, "ks": (1, 4), "tokens": 200, "device": "cpu",
    }  # fmt: skip
    return ProbesConfig(saes=(run / "saes",), out=out, **defaults | values)


@pytest.fixture(scope="module")
def studied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return study_probes(configured(run, tmp_path_factory.mktemp("study") / "probes"))


def test_the_headline_is_the_mean_over_tasks_that_can_tell(studied: Done) -> None:
    summary = studied.summary
    assert summary["tasks"]["easy"]["ceiling"] and not summary["tasks"]["hard"]["ceiling"]
    assert summary["tasks"]["easy"]["baseline"]["accuracy"] > 0.95
    assert summary["unmarked"] == ["hard"] and summary["own"] == "own"
    for figures in summary["corpora"].values():
        assert figures["accuracy"]["value"] == figures["accuracy:hard"]["value"] < 0.75
        assert figures["accuracy:easy"]["value"] > 0.9
        assert figures["accuracy"]["seeds"] == 3 and figures["accuracy"]["ci95"]
        assert figures["majority"] == summary["tasks"]["hard"]["majority"]
    contrast = next(one for one in summary["contrasts"] if one["headline"])
    assert (contrast["a"], contrast["b"], contrast["metric"]) == ("own", "web", "accuracy")
    assert contrast["verdict"] == "cannot be decided: 3 seeds"
    assert {one["verdict"] for one in summary["contrasts"] if not one["headline"]} == {"cannot be decided: 3 seeds"}


def test_what_each_probe_answers_rightly_is_kept_and_its_draw_is_part_of_the_interval(
    studied: Done,
) -> None:
    count = len_of(studied, "test")
    cells = [json.loads(path.read_text()) for path in (studied.folder / "cells").glob("hard-*.json")]
    entries = [entry for cell in cells for entry in cell["entries"]]
    assert len(entries) > 20
    assert all(unpack(entry["right"], count).mean() == pytest.approx(entry["accuracy"]) for entry in entries)
    right = np.random.default_rng(0).random(13) < 0.5
    assert (unpack(pack(right), 13) == right).all()
    figures = studied.summary["corpora"]["own"]
    assert figures["accuracy"]["error_drawn"] == figures["accuracy:hard"]["error_drawn"]
    share = figures["accuracy"]["value"]
    assert 0.2 < figures["accuracy"]["error_drawn"] / (share * (1 - share) / count) ** 0.5 < 1.1
    assert "error_drawn" not in figures["macro_f1"]
    contrast = next(one for one in studied.summary["contrasts"] if one["headline"])
    assert contrast["error_drawn"] is not None and list(contrast["parts"]) == ["hard"], (
        "tasks at their ceiling say nothing"
    )


def test_the_calibration_exchanges_the_answers_of_a_finished_study(studied: Done, tmp_path: Path) -> None:
    shutil.copytree(studied.folder, tmp_path / "studies" / "probes")
    found = dict(of_run(tmp_path))
    differences = {name.partition(": ")[2]: sets for name, sets in found.items()}
    assert list(differences) == ["probes on hard, own and web", "probes on all, own and web"]
    headline = next(one for one in studied.summary["contrasts"] if one["headline"])
    table = pl.read_parquet(studied.folder / "results.parquet").filter(pl.col("metric") == "accuracy:hard:f")
    table = table.filter(pl.col("parameter") == pl.col("parameter").max()).sort("seed")
    of_seeds = [table.filter(pl.col("corpus") == name)["value"].to_numpy() for name in ("own", "web")]
    for (one,) in differences.values():
        assert one.shape == (3, len_of(studied, "test")) and one.mean() == pytest.approx(headline["difference"])
        assert one.mean(1) == pytest.approx(of_seeds[0] - of_seeds[1])
    shutil.rmtree(tmp_path / "studies" / "probes" / "cells")
    with pytest.raises(SystemExit, match="no cells of two corpora"):
        list(of_run(tmp_path))


def test_every_figure_has_its_line_in_the_documentation(studied: Done) -> None:
    assert undocumented("Study probes", names_of_study(studied.folder)) == []


def test_every_score_is_a_row(studied: Done) -> None:
    table = pl.read_parquet(studied.folder / "results.parquet")
    full = table.filter((pl.col("metric") == "accuracy:hard:f") & (pl.col("corpus") == "web"))
    assert sorted(zip(full["seed"], full["parameter"], strict=True)) == [
        (seed, size) for seed in range(3) for size in studied.summary["sizes"]["curve"]["hard"]
    ]
    assert (full["low"] <= full["value"]).all() and (full["value"] <= full["high"]).all()
    assert set(full["shape"]) == {SHAPE}
    at_full = full.filter(pl.col("parameter") == full["parameter"].max())
    assert at_full["value"].mean() == pytest.approx(studied.summary["corpora"]["web"]["accuracy"]["value"])
    metrics = set(table["metric"])
    wanted = {f"{kind}{score}:{task}:{read}" for kind, reads in (("", ("h", "f", "h_hat")), ("k_sparse_", ("h", "f")))
              for score in ("accuracy", "macro_f1") for task in ("easy", "hard") for read in reads}  # fmt: skip
    assert wanted < metrics
    baseline = table.filter((pl.col("metric") == "accuracy:hard:h") & (pl.col("corpus") == "no SAE"))
    assert len(baseline) == 2 and baseline["seed"].null_count() == 2
    for name in ("forest", "learning_curves", "k_sparse"):
        assert "hard" in (studied.folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    tables = probes_tables(studied.summary)
    assert "ceiling: left out of the means" in str(tables[0]) and "own − web" in str(tables[-1])
    grouped = studied.summary["tasks"]["hard"] | {"train_groups": 3}
    shown = probes_tables(studied.summary | {"tasks": studied.summary["tasks"] | {"hard": grouped}})
    assert "folds of examples" in str(shown[0]) and "folds of examples" not in str(tables[0])
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)


def test_overlap_with_the_training_text_is_in_the_summary(studied: Done) -> None:
    overlap = studied.summary["tasks"]["hard"]["overlap"]
    assert set(overlap) == {"own", "web"}
    assert overlap["own"]["test"]["texts"] == 0 and overlap["own"]["test"]["examples"] == len_of(studied, "test")


def len_of(studied: Done, side: str) -> int:
    return int(studied.summary["sizes"][side]["hard"])


def test_a_second_run_takes_what_is_finished_and_reads_no_text_again(
    run: Path, studied: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studied.reused == 0
    monkeypatch.setattr(probes, "pool_features", lambda *_: pytest.fail("a text was read again"))
    again = study_probes(configured(run, studied.folder))
    assert again.reused == 2 * 7
    drop = ("reused", "sizes")
    assert {k: v for k, v in again.summary.items() if k not in drop} == {
        k: v for k, v in studied.summary.items() if k not in drop
    }


def test_all_saes_share_one_pass_and_only_new_cells_are_made(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = pool_features, []

    def spied(model: Any, saes: Any, rows: Any, *rest: Any) -> Any:
        calls.append((len(saes), len(rows)))
        return real(model, saes, rows, *rest)

    monkeypatch.setattr(probes, "pool_features", spied)
    tasks = tuple(f"{run / name}.csv:text:label" for name in ("easy", "odd"))
    small = configured(run, tmp_path, tasks=tasks, ks=(), curve_points=1)
    first, second = (run / "saes" / name / SHAPE / "seed-0" for name in ("own", "web"))
    one = study_probes(replace(small, saes=(first,)))
    assert len(calls) == 1 and calls[0][0] == 1
    assert one.summary["contrasts"] == []
    both = study_probes(replace(small, saes=(first, second)))
    assert len(calls) == 2 and calls[1] == calls[0] and both.reused == 2 * 2
    assert both.summary["corpora"]["own"]["accuracy:odd"] == one.summary["corpora"]["own"]["accuracy:odd"]
    assert both.summary["tasks"]["odd"]["labels"] == ["even", "odd"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"pooling": "sum"}, "'sum' is no pooling"),
        ({"folds": 1}, "folds is at least 2"),
        ({"ks": (0,)}, "ks is at least 1"),
        ({"train_size": 2}, "train_size is at least 4"),
    ],
)
def test_settings_that_make_no_probe_are_refused(
    run: Path, tmp_path: Path, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FaithfulError, match=sentence):
        study_probes(configured(run, tmp_path, **values))


def test_a_corpus_without_held_out_text_is_refused_before_anything_is_read(
    run: Path, tmp_path: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("load_task", "pool_features"):
        monkeypatch.setattr(probes, name, lambda *_: pytest.fail("work began"))
    bare = write_external(tmp_path / "bare", family_model("gpt2")[0], {"train": [np.arange(9, 40)]})
    with pytest.raises(FaithfulError, match="no held-out text"):
        study_probes(configured(run, tmp_path / "out", corpora=(run / "corpora" / "own", bare)))


def test_two_tasks_of_one_name_are_refused(run: Path, tmp_path: Path) -> None:
    tasks = (f"{run / 'easy'}.csv:text:label",) * 2
    with pytest.raises(FaithfulError, match="Two tasks are called easy"):
        study_probes(configured(run, tmp_path, tasks=tasks))


def test_where_every_task_is_at_its_ceiling_nothing_is_concluded(run: Path, studied: Done, tmp_path: Path) -> None:
    shutil.copytree(studied.folder / "cells", tmp_path / "cells")
    done = study_probes(configured(run, tmp_path, tasks=(f"{run / 'easy'}.csv:text:label",)))
    summary = done.summary
    assert done.reused == 7
    assert summary["unmarked"] == [] and summary["corpora"]["own"]["accuracy"]["value"] is None
    headline = next(one for one in summary["contrasts"] if one["headline"])
    assert headline["difference"] is None and headline["verdict"].startswith("cannot be decided")
    assert "all are at their ceiling" in str(probes_tables(summary))


@pytest.mark.slow
def test_embedded_tasks_of_tiny_lie_between_floor_and_ceiling(tmp_path: Path) -> None:
    """Their passages stand in no corpus that `corpus add` makes."""
    from faithful.models.presets import tiny_path
    from generation.external.add import add
    from generation.external.prepare import AddConfig

    metadata = {"model_name": str(tiny_path()), "hook_name": "blocks.3.hook_resid_pre"}
    for name in ("own", "web"):
        save_sae(tmp_path / "saes" / name / SHAPE / "seed-0", random_sae(256, 64, 3, 0), metadata)
    corpora = tuple(
        add(AddConfig(name, tokens=100_000, held_out=2000, out=tmp_path / "corpora" / name)).folder
        for name in ("prose", "stdlib")
    )
    config = ProbesConfig(
        (tmp_path / "saes",), tmp_path / "out", corpora, tokens=2000, device="cpu", ks=(), curve_points=1
    )
    summary = study_probes(config).summary
    assert list(summary["tasks"]) == embedded_names()
    for name, task in summary["tasks"].items():
        assert task["baseline"]["accuracy"] < 0.9 and not task["ceiling"], name
        assert (task["train"], task["test"]) == (256, 400)
        for corpus in ("prose", "stdlib"):
            assert task["overlap"][corpus]["test"]["texts"] == task["overlap"][corpus]["train"]["texts"] == 0
    above = {name: task["baseline"]["accuracy"] - task["majority"] for name, task in summary["tasks"].items()}
    assert sum(gain > 0.02 for gain in above.values()) >= len(above) - 1, above
