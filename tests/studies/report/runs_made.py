"""A run made of files, with one of everything that a report reads, and what must not run in it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from faithful.models.spec import resolve_model
from faithful.store.corpus import Document, Manifest, to_table, write_manifest
from faithful.store.shard_files import write_shard
from generation.writing.identity import model_identity, model_provenance
from studies.statistics.verdicts import summarise
from tests.studies.headlines import HEADLINES


def pairs(base: float, step: float, seeds: int) -> dict[Any, float]:
    return {(i, j): base + step * (i + 2 * j) for i in range(seeds) for j in range(i + 1, seeds)}


def entry(verdict: str, b: str = "prose", **more: Any) -> dict[str, Any]:
    return {
        "a": "own",
        "b": b,
        "metric": "m",
        "headline": True,
        "verdict": verdict,
        "sentence": f"{verdict} {b}",
    } | more


SHAPE = "resid_pre.3-f8-k2"


MODEL = {"name": "tiny", "revision": "sha256:" + "a1" * 32, "dtype": "float32"}


TINY = resolve_model("tiny")


EVIL = "<script>alert('x')</script> & <b onclick=y>"


SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="90pt"'
    ' height="45pt" viewBox="0 0 90 45" onload="go()"><style>*{x:y}</style><script>go()</script><defs>'
    '<path id="m" d="M 0 0"/>'
    '<clipPath id="c"><rect width="1" height="1"/></clipPath></defs><g clip-path="url(#c)"><use xlink:href="#m" x="1"/></g>'
    '<image xlink:href="data:image/png;base64,AAAA"/><image xlink:href="https://example.org/a.png"/>'
    '<rect style="fill: url(https://example.org/b)"/><text onclick="go()">a &lt; b</text></svg>'
)


def write_corpus(folder: Path, kind: str, texts: list[str], lengths: list[int]) -> None:
    documents = [Document(i, 0, [1] * n, "length") for i, n in enumerate(lengths)]
    counts = {str(n): lengths.count(n) for n in sorted(set(lengths))}
    shard = write_shard(folder, "train", 0, to_table(documents, texts, 64), {"lengths": counts})
    edges = [0.0, 0.01, 0.5, 0.99, 1.0]
    certificate = {
        "verdict": "consistent with the declared sampling", "surprise_gap": -0.01, "ci95": [-0.02, 0.01], "p_holm": 0.4,
        "tokens_scored": 1000, "pit_edges": edges, "pit_counts": [10, 490, 490, 10],
    }  # fmt: skip
    engine = {"name": "transformers", "device": "cpu", "versions": {}, "threads": 1, "slots": 64, "shard_rows": 512}
    own = {"engine": engine | {"deterministic": True}, "sampling": {}}
    manifest = Manifest(
        folder.name,
        kind,
        {"model": model_identity(TINY) | MODEL, "seed": 0}
        | (own if kind == "own" else {"source": {"kind": "embedded"}}),
        {"model": model_provenance(TINY) | MODEL, "reading": {"asked": folder.name, "stated": {}}},
        {"train": sum(lengths), "test": 0},
    )
    manifest.shards["train"] = [shard]
    manifest.certificate = certificate if kind == "own" else None
    write_manifest(folder, manifest)


def write_sae(folder: Path, corpus: str, seed: int) -> None:
    folder.mkdir(parents=True)
    identity = {
        "model": "tiny", "revision": MODEL["revision"], "corpus": corpus, "hook": "resid_pre.3", "init_seed": seed,
        "context": 9, "layout": "aligned",
        "tokens": 1234, "epochs": 1, "batch": 16, "buffer": 64, "d_sae": 8, "k": 2, "lr": 1e-3, "data_seed": 0,
        "dtype": "float32", "drop_outliers": False,
    }  # fmt: skip
    record = {
        "version": "0.1.0",
        "identity": identity,
        "evaluation": {"fvu": 0.25, "tokens": 345},
        "torch": "2.9",
        "seconds": 3.0,
    }
    config = {"d_sae": 8, "k": 2, "metadata": {"dataset_path": corpus, "faithful": record}}
    (folder / "cfg.json").write_text(json.dumps(config))
    lines = [json.dumps({"step": step, "fvu": 1 / step, "dead_in_training": step}) for step in range(1, 700)]
    (folder / "train.jsonl").write_text("\n".join(lines) + '\n{"step": 700, "fv')


def seeds_summary(seeds: int = 6) -> dict[str, Any]:
    figures = {
        "shared_feature_ratio": {
            "own": pairs(0.5, 0.002, seeds), "prose": pairs(0.4, 0.003, seeds), "stdlib": pairs(0.5, 0.0021, seeds),
        },
        "pw_mcc": {"own": pairs(0.6, 0.001, seeds), "prose": pairs(0.5, 0.001, seeds)},
    }  # fmt: skip
    positions = {"own": np.array([5, 5, 5]), "prose": np.array([9, 1, 1]), "stdlib": np.array([5, 5, 5])}
    statistics = summarise(HEADLINES["seeds"], figures, "own", positions=positions)
    for name in statistics["corpora"]:
        statistics["corpora"][name]["floor_random"] = 0.01
    example = {"title": f"own: {EVIL}", "rows": [
        {"corpus": "prose", "tokens": ["a", EVIL, "\n"], "values": [0.0, 2.0, 0.5], "note": "latent 7 <i>"},
    ]}  # fmt: skip
    other = {"corpora": {"own": {"pw_mcc": {"value": 0.125, "ci95": None, "seeds": 2}}}, "contrasts": []}
    return {
        "study": "seeds", "model": MODEL, "hook": "resid_pre.3", "own": "own", "shape": SHAPE, "seed": 3,
        "sizes": {"saes": 18, "panel_tokens": {"own": 2724, "prose": 2689}}, **statistics, "across": {},
        "floors": {"own": {"floor_random": {"pairs": 3}, "floor_init": {"pairs": 1}}}, "not_compared": [[SHAPE, "f16"]],
        "between_shapes": {"own a × own b": {"shared_feature_ratio": 0.1, "pw_mcc": 0.2, "floor_random": 0.0, "pairs": 36}},
        "shapes": {SHAPE: {}, "resid_pre.3-f16-k2": other}, "examples": [example],
    }  # fmt: skip


def write_study(run: Path, name: str, summary: dict[str, Any], figures: tuple[str, ...] = ()) -> None:
    folder = run / "studies" / name
    (folder / "figures").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    for figure in figures:
        (folder / "figures" / f"{figure}.svg").write_text(SVG, encoding="utf-8")


def write_run(run: Path, seeds: int = 6) -> Path:
    write_corpus(run / "corpora" / "own", "own", [EVIL, "two", "three"], [2, 4, 8])
    write_corpus(run / "corpora" / "prose", "external", ["Emma felt", "x", "y"], [8, 8, 8])
    for corpus in ("own", "prose"):
        for seed in range(2):
            write_sae(run / "saes" / corpus / SHAPE / f"seed-{seed}", corpus, seed)
    write_study(run, "seeds", seeds_summary(seeds), ("sfr_curves", "a <odd> name"))
    extra = {"study": "extra", "corpora": {"own": {"height": {"value": 1.5, "ci95": [1.0, 2.0]}}}, "contrasts": []}
    write_study(run, "extra", extra)
    return run


class Page(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
