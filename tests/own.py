"""Corpora made in this process, for tests that need one at once: sampled by the real engine, written by the real writer."""

from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.files import folder_lock
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document, Manifest
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.sampling.seeds import EVAL, TRAIN, sample_seed
from generation.sampling.transformers_engine import TransformersEngine
from generation.writing.identity import corpus_identity, engine_identity, model_provenance, tokenizer_identity
from generation.writing.shards import CorpusWriter


def write_own(
    folder: Path, spec: ModelSpec, model: Any, sampling: Sampling, tokens: dict[str, int], seed: int = 0
) -> Path:
    """A corpus that the model samples from itself: `tokens` per split."""
    engine = engine_identity(EngineSettings("transformers", "cpu", 1, 64, 4096, deterministic=True))
    manifest = Manifest(
        folder.name,
        "own",
        corpus_identity(spec, sampling, seed, engine),
        {"model": model_provenance(spec), "generation_config_not_applied": {}},
        requested=tokens,
        segments=[{"train": 0, "test": 0, "engine": engine}],
    )
    with folder_lock(folder):
        writer = _writer(folder, manifest, spec, tokens)
        for split, domain in (("train", TRAIN), ("test", EVAL)):
            count = tokens[split] // 4 + 64
            requests = (Request(i, sample_seed(seed, domain, i)) for i in range(count))
            runner = TransformersEngine(model, spec, sampling, 64).run(requests)
            for s in sorted(_enough(runner, tokens[split]), key=lambda sample: sample.index):
                writer.add(
                    split, Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p or None, s.logprob_q)
                )
        writer.finish()
    return folder


def write_external(
    folder: Path, spec: ModelSpec, documents: dict[str, list[np.ndarray]], kind: str = "external"
) -> Path:
    """A corpus of given token ids, every document whole."""
    identity = {"model": tokenizer_identity(spec), "source": {"name": folder.name}}
    manifest = Manifest(folder.name, kind, identity, {"model": model_provenance(spec)}, {"train": 0, "test": 0})
    with folder_lock(folder):
        writer = _writer(folder, manifest, spec, {"train": None, "test": None})
        for split, rows in documents.items():
            for index, ids in enumerate(rows):
                reason = "stop" if len(ids) and int(ids[-1]) in spec.eos_ids else "length"
                writer.add(split, Document(index, 0, ids.tolist(), reason, doc_id=str(index), source=folder.name))
        writer.finish()
    return folder


def _writer(folder: Path, manifest: Manifest, spec: ModelSpec, targets: dict[str, Any]) -> CorpusWriter:
    return CorpusWriter(folder, manifest, spec, load_tokenizer(spec.source, spec.hub_revision()), targets)


def _enough(samples: Any, tokens: int) -> list[Sample]:
    """The whole prefix by index that holds the tokens, drawn with some to spare."""
    taken: dict[int, Sample] = {}
    for sample in samples:
        taken[sample.index] = sample
        total, index = 0, 0
        while index in taken and total < tokens:
            total += len(taken[index].token_ids)
            index += 1
        if total >= tokens:
            return [taken[i] for i in range(index)]
    return list(taken.values())
