"""Small corpora and grids of SAEs to publish, written by the real writers without a model."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from faithful.formats.files import save_sae
from faithful.models.files import folder_revision
from faithful.models.presets import tiny_path
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.store.corpus import Document, Manifest, to_table, write_manifest
from faithful.store.shard_files import write_shard
from generation.cards.card import write_card
from generation.sampling.distribution import Sampling
from generation.sources.source import Source
from generation.writing.identity import corpus_identity, model_provenance, tokenizer_identity

VOCAB = 4096
REVISION = folder_revision(tiny_path())
REQUESTS = [
    "GET /api/whoami-v2", "POST /api/repos/create", "POST /api/validate-yaml", "/preupload/main", "objects/batch",
    "PUT /lfs", "/commit/main", "/tree/", "/tag/", "/refs",
]  # fmt: skip
UNFILLED = re.compile(r"More Information|\bNone\b(?! of it)|\{\{|\{%|\bnan\b|\[\]|\n{4,}")
ENGINE = {
    "name": "transformers", "device": "cpu", "threads": 1, "slots": 64, "shard_rows": 40, "deterministic": True,
    "instructions": "any", "versions": {"torch": "2", "transformers": "5"}, "promise": "bytes",
}  # fmt: skip
CERTIFICATE: dict[str, Any] = {
    "verdict": "consistent", "reason": "no test rejects", "tokens_scored": 900, "split_tokens": 1200, "part": "the first",
    "ci95": [-0.01, 0.02], "surprise_gap": 0.005, "p_holm": 0.4, "impossible_share": 0.0, "boundary_share": 0.0,
    "ce": 3.1, "entropy": 3.0, "tests": {"mean": {"p": 0.2, "p_holm": 0.4, "z": 1.1}},
}  # fmt: skip


def unfilled(card: str) -> list[str]:
    """Where a card lacks what should have been filled in; samples of text are not looked at."""
    body = re.sub(r"(?s)\n## Samples\n.*?\n## ", "\n## ", card.split("---\n", 2)[2])
    empty = [str(key) for key, value in yaml.safe_load(card.split("---\n", 2)[1]).items() if value in (None, "", [])]
    return UNFILLED.findall(body) + empty


def spec(name: str = "tiny", source: str = str(tiny_path()), licence: str | None = "apache-2.0") -> ModelSpec:
    """A model as a corpus records it."""
    return ModelSpec(
        name=name, source=source, revision=REVISION, dtype="float32", bos_id=0, bos_from="tokenizer",
        eos_ids=(0,), vocab_size=VOCAB, mapped=VOCAB, positions=128, tokenizer_sha256="1" * 64, generation_config={},
        licence=licence, language="en", family="llama" if licence == "llama3.2" else "gpt2",
    )  # fmt: skip


def own_corpus(folder: Path, shards: int = 3, model: ModelSpec | None = None) -> Path:
    """A sampled corpus: shard j is the same whatever the number of shards."""
    model = model or spec()
    identity = corpus_identity(model, Sampling(max_tokens=31), 7, ENGINE)
    provenance = {"model": model_provenance(model), "generation_config_not_applied": {}}
    manifest = Manifest(folder.name, "own", identity, provenance, {"train": 1, "test": 1}, certificate=CERTIFICATE)
    return _written(folder, manifest, shards)


def external_corpus(folder: Path, shards: int = 1, licence: str = "odc-by") -> Path:
    """Other people's text."""
    source = Source("web", "hub", about="pages", repo="org/web", columns=("text",), licence=licence)
    identity = {
        "model": tokenizer_identity(spec()), "source": source.identity(), "seed": 0, "context": 32, "window": 64,
        "shard_rows": 40, "test_share": 0.05,
    }  # fmt: skip
    reading = {"asked": "org/web", "stated": {}, "resolved": {}}
    provenance = {"model": model_provenance(spec()), "source": source.provenance(), "reading": reading}
    return _written(folder, Manifest(folder.name, "external", identity, provenance, {"train": 1, "test": 1}), shards)


def _written(folder: Path, manifest: Manifest, shards: int) -> Path:
    for split, count in (("train", shards), ("test", 1)):
        manifest.shards[split] = [_shard(folder, split, number) for number in range(count)]
    manifest.statistics = {"documents": manifest.rows(), "tokens": manifest.tokens(), "eos_rate": 0.5}
    write_manifest(folder, manifest)
    write_card(folder)
    (folder / "log.jsonl").write_text('{"time": "now"}\n')
    (folder / ".lock").write_text("1")
    return folder


def _shard(folder: Path, split: str, number: int) -> Any:
    draw = np.random.default_rng([number, split == "test"])
    rows = [draw.integers(1, VOCAB, int(draw.integers(5, 31))).tolist() for _ in range(40)]
    documents = [
        Document(number * 40 + place, place, ids, "length", [-1.0] * len(ids)) for place, ids in enumerate(rows)
    ]
    texts = [f"document {document.index}" for document in documents]
    return write_shard(folder, split, number, to_table(documents, texts, VOCAB), {})


def grid(
    folder: Path,
    corpora: tuple[str, ...] = ("own",),
    seeds: tuple[int, ...] = (0, 42),
    model: str = "tiny",
    lr: float = 0.001,
    width: int = 16,
    revision: str = REVISION,
) -> Path:
    """A grid of SAEs as `faithful train` leaves it, with what is not to be published."""
    for corpus in corpora:
        for seed in seeds:
            place = folder / corpus / "resid_pre.2-f32-k4" / f"seed-{seed}"
            noise = torch.Generator().manual_seed(seed)
            decoder = torch.randn(32, width, generator=noise)
            sae = TopKSAE(decoder.T.clone(), torch.zeros(32), decoder, torch.zeros(width), 4, {})
            identity = {
                "model": model, "revision": revision, "dtype": "float32", "hook": "resid_pre.2",
                "corpus": corpus, "prefix_sha256": "2" * 64, "tokens": 1000, "epochs": 1.0, "context": 32,
                "layout": "aligned", "data_seed": 0, "batch": 256, "buffer": 8192, "drop_outliers": False, "d_sae": 32,
                "k": 4, "lr": lr, "init_seed": seed,
            }  # fmt: skip
            quality = {"fvu": 0.25 + seed / 1000, "l0": 4.0, "ce_recovered": 0.9, "never_fired": 3}
            metadata = {
                "model_name": model, "hook_name": "blocks.2.hook_resid_pre", "context_size": 32, "dataset_path": corpus,
                "faithful": {"identity": identity, "evaluation": quality},
            }  # fmt: skip
            save_sae(place, sae, metadata, torch.full((32,), -1.0))
            (place / "train.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
        (folder / corpus / "resid_pre.2-f32-k4" / ".lock").write_text("1")
    (folder / "corpora.json").write_text(json.dumps({name: f"../corpora/{name}" for name in corpora}))
    (folder / "log.jsonl").write_text("{}\n")
    checkpoint = folder / ".checkpoints" / "own"
    checkpoint.mkdir(parents=True)
    (checkpoint / "cfg.json").write_text("{}")
    return folder


def whole_run(folder: Path, width: int = 16) -> Path:
    """A run: two corpora, one of them external, a grid over both, a report."""
    own_corpus(folder / "corpora" / "own")
    external_corpus(folder / "corpora" / "web")
    grid(folder / "saes", ("own", "web"), width=width)
    (folder / "report.html").write_text("<html></html>")
    return folder
