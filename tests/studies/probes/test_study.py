"""`faithful study probes`: fits against scikit-learn, pooling against loops, tasks of every kind, a small grid."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.sampling_calibration import of_run
from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.formats.files import save_sae
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.store.saes import find_saes
from studies.common.results import Done
from studies.probes import study as probes
from studies.probes.config import ProbesConfig
from studies.probes.features import pool_features
from studies.probes.score import pack, unpack
from studies.probes.study import study_probes
from studies.probes.tables import probes_tables
from studies.probes.tasks.task import embedded_names
from studies.statistics.latents import LATENTS, read_latents
from tests.documented import names_of_study, undocumented
from tests.own import write_external
from tests.studies.probes.data import RNG, random_sae, write_csv

Model = Callable[[str], tuple[ModelSpec, Any]]


# Fits


# One SAE on one task


# Features


# Tasks


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
        assert figures["words"] == summary["tasks"]["hard"]["words"]["accuracy"]
    assert summary["tasks"]["easy"]["words"]["accuracy"] > 0.95 > 0.75 > summary["tasks"]["hard"]["words"]["accuracy"]
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


def test_what_latents_weigh_in_probes_is_left_for_other_commands(studied: Done, run: Path) -> None:
    latents = read_latents(studied.folder / LATENTS)
    assert set(latents) == {sae.sha256 for sae in find_saes([run / "saes"])}
    for weights in latents.values():
        assert list(weights) == ["easy", "hard"]
        for of in weights.values():
            assert len(of) == 64 and (of >= 0).all() and of.sum() == pytest.approx(1)


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
    assert overlap["own"]["test"]["texts"] == 0


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

    def spied(rows: Any, d_in: int, widths: Any, *rest: Any) -> Any:
        calls.append((len(widths), len(rows)))
        return real(rows, d_in, widths, *rest)

    monkeypatch.setattr(probes, "pool_features", spied)
    tasks = tuple(f"{run / name}.csv:text:label" for name in ("easy", "odd"))
    small = configured(run, tmp_path, tasks=tasks, ks=(), curve_points=1)
    first, second = (run / "saes" / name / SHAPE / "seed-0" for name in ("own", "web"))
    points: list[Progress] = []
    one = study_probes(replace(small, saes=(first,)), points.append)
    units = {point.step.partition(" ")[0]: point.unit for point in points}
    assert units["tasks"] == units["words"] == "tasks" and units["features"] == "contexts" and units["probes"] == "fits"
    assert len(calls) == 1 and calls[0][0] == 1
    assert one.summary["contrasts"] == []
    both = study_probes(replace(small, saes=(first, second)))
    assert len(calls) == 2 and calls[1] == calls[0] and both.reused == 2 * 2
    assert both.summary["corpora"]["own"]["accuracy:odd"] == one.summary["corpora"]["own"]["accuracy:odd"]
    assert both.summary["tasks"]["odd"]["labels"] == ["even", "odd"]


def test_settings_that_make_no_probe_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="folds is at least 2"):
        study_probes(configured(run, tmp_path, folds=1))


def test_a_corpus_without_held_out_text_is_refused_before_anything_is_read(
    run: Path, tmp_path: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("load_task", "pool_features"):
        monkeypatch.setattr(probes, name, lambda *_: pytest.fail("work began"))
    bare = write_external(tmp_path / "bare", family_model("gpt2")[0], {"train": [np.arange(9, 40)]})
    with pytest.raises(FaithfulError, match="no held-out text"):
        study_probes(configured(run, tmp_path / "out", corpora=(run / "corpora" / "own", bare)))


def test_a_task_whose_levels_are_none_leaves_nothing(run: Path, tmp_path: Path) -> None:
    rows = [{"text": f"text {at}", "topic": "art", "part": ("music", "film")[at % 2]} for at in range(200)]
    table = write_csv(tmp_path / "topics.csv", rows)
    with pytest.raises(FaithfulError, match="coarse level of the task topics has one class"):
        study_probes(configured(run, tmp_path / "out", tasks=(f"{table}:text:topic/part",)))
    assert not (tmp_path / "out").exists()


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
    from generation.configs.add import AddConfig
    from generation.external.add import add

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


def test_other_methods_and_two_levels(run: Path, tmp_path: Path) -> None:
    kinds = (("art", "music"), ("art", "film"), ("sport", "tennis"))
    rows = [
        {"text": f"{coarse * 2} {fine} number {at} of many", "topic": coarse, "part": fine}
        for at in range(180)
        for coarse, fine in [kinds[at % 3]]
    ]
    path = write_csv(tmp_path / "topics.csv", rows)
    methods = ("ours", "saebench", "saebench-bos")
    config = configured(run, tmp_path / "out", tasks=(f"{path}:text:topic/part",), methods=methods)
    done = study_probes(config)
    assert list(done.summary["tasks"]) == ["topics.coarse", "topics.fine"]
    assert undocumented("Study probes", names_of_study(done.folder)) == []
    table = pl.read_parquet(done.folder / "results.parquet")
    for name in ("saebench_accuracy", "saebench_bos_accuracy"):
        for task, input_, height in (("coarse", "f", 12), ("fine", "h", 2)):
            found = table.filter(pl.col("metric") == f"{name}:topics.{task}:{input_}")
            assert found.height == height and found["value"].is_between(0, 1).all() and found["low"].is_null().all()
    silent = table.filter(pl.col("metric") == "coarse_silent:topics")
    assert silent.height == 6 and silent["value"].is_between(0, 1).all()
    own = done.summary["corpora"]["own"]
    assert own["coarse_hole:topics"]["ci95"] and "accuracy_saebench_k4" in own
    assert any("SAEBench's with BOS, 4 latents" in row for one in probes_tables(done.summary) for row in one.rows)
    assert study_probes(config).reused == 14


def test_a_cell_is_of_the_bos_that_its_texts_begin_with() -> None:
    def key(bos: int) -> list[Any]:
        spec = SimpleNamespace(revision="r", precision="float32", bos_id=bos)
        found = SimpleNamespace(
            spec=spec, tokenizer=SimpleNamespace(bos_token_id=1), hook=Hook(1, "resid_pre"), context=8
        )
        data = {"a": SimpleNamespace(sha256="d")}
        of: Any = SimpleNamespace(config=ProbesConfig((), Path()), found=found, data=data, panel=None)
        return probes._Probes._key(of, "a", None)

    assert key(2) != key(3) and key(2)[: len(key(1))] == key(1)
