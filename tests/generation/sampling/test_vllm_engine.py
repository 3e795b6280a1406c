"""The vLLM path against the real engine on the CPU: what it samples, what it promises, and the command that uses it."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest
from generation.sampling.distribution import Sampling
from generation.scoring.scored_part import ScoredPart
from generation.scoring.scorer import INSIDE, Scorer
from tests.families import FAMILIES
from tests.generation.certificate.own_text import score_part
from tests.shell import VLLM, Shell

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

Folder = Callable[[str], Path]
Model = Callable[[str], tuple[ModelSpec, Any]]
COUNT = 150
OWN = Sampling(max_tokens=31)
NUCLEUS = Sampling(temperature=0.8, top_p=0.9, max_tokens=31)
TOP_K = Sampling(top_k=12, max_tokens=31)
MIN_P = Sampling(min_p=0.05, max_tokens=31)
PENALTY = Sampling(repetition_penalty=1.3, max_tokens=31)
STREAMS = Sampling(mode="streams", max_tokens=20)
SAMPLINGS = (OWN, NUCLEUS, TOP_K, MIN_P, PENALTY, STREAMS)
SAMPLE = """
from tests.generation.sampling.sample_with_vllm import draw
draw({!r})
raise SystemExit
"""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("vllm") / "here", VLLM) as running:
        yield running


@pytest.fixture(scope="module", params=FAMILIES)
def drawn(request: pytest.FixtureRequest, shell: Shell, family_folder: Folder) -> tuple[str, dict[str, Any]]:
    """Samples of one family under every sampling, each drawn in two orders."""
    wish = {
        "model": str(family_folder(request.param)),
        "slots": 32,
        "count": COUNT,
        "samplings": [sampling.to_dict() for sampling in SAMPLINGS],
    }
    done = shell("faithful", SAMPLE.format(json.dumps(wish)))
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stderr[-3000:]
    return request.param, json.loads(lines[0].removeprefix("ANSWER"))


def rows_of(answer: dict[str, Any], sampling: Sampling, order: int = 0) -> list[dict[str, Any]]:
    return answer["rows"][2 * SAMPLINGS.index(sampling) + order]


def test_every_request_is_answered_once_whatever_the_order(drawn: tuple[str, dict[str, Any]]) -> None:
    _, answer = drawn
    for sampling in SAMPLINGS:
        forward, backward = rows_of(answer, sampling, 0), rows_of(answer, sampling, 1)
        assert [row["index"] for row in forward] == list(range(COUNT))
        same = [a["token_ids"] == b["token_ids"] for a, b in zip(forward, backward, strict=True)]
        assert np.mean(same) > 0.99, sampling


def test_log_probabilities_are_the_models_own(drawn: tuple[str, dict[str, Any]], family_model: Model) -> None:
    name, answer = drawn
    spec, model = family_model(name)
    for sampling in SAMPLINGS:
        for row in rows_of(answer, sampling)[:40]:
            ids = [spec.bos_id, *row["token_ids"]]
            with torch.inference_mode():
                log_p = model(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
            expected = log_p.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
            np.testing.assert_allclose(row["logprob_p"], expected.numpy(), atol=2e-3)


def test_samples_end_at_every_end_of_text_and_nowhere_else(
    drawn: tuple[str, dict[str, Any]], family_model: Model
) -> None:
    name, answer = drawn
    spec, _ = family_model(name)
    for row in rows_of(answer, OWN):
        *body, last = row["token_ids"]
        assert not set(body) & set(spec.eos_ids)
        assert (last in spec.eos_ids) == (row["finish_reason"] == "stop")
        assert row["finish_reason"] == "stop" or len(row["token_ids"]) == 31
    ends = {row["token_ids"][-1] for row in rows_of(answer, OWN) if row["finish_reason"] == "stop"}
    assert len(ends) == len(spec.eos_ids)
    streams = rows_of(answer, STREAMS)
    assert {len(row["token_ids"]) for row in streams} == {20}
    assert any(set(row["token_ids"][:-1]) & set(spec.eos_ids) for row in streams)


def test_samples_lie_in_the_support_of_q(drawn: tuple[str, dict[str, Any]], family_model: Model) -> None:
    name, answer = drawn
    spec, model = family_model(name)
    for sampling in (NUCLEUS, TOP_K, MIN_P):
        documents = [np.array(row["token_ids"]) for row in rows_of(answer, sampling)]
        guesses = np.full(sum(map(len, documents)), -1)
        status = Scorer(model, spec, sampling, delta=1e-3).score(documents, guesses).status
        assert (status == INSIDE).mean() > 0.999, sampling
        assert (status == 2).sum() == 0, sampling


def test_samples_are_consistent_with_the_declared_sampling(
    drawn: tuple[str, dict[str, Any]], family_model: Model
) -> None:
    name, answer = drawn
    spec, model = family_model(name)
    for sampling in (OWN, NUCLEUS, TOP_K, MIN_P, PENALTY, STREAMS):
        rows = rows_of(answer, sampling)
        part = ScoredPart(
            [np.array(r["token_ids"]) for r in rows], np.arange(COUNT), [np.array(r["logprob_p"]) for r in rows], "all"
        )
        result = score_part(part, model, spec, sampling, as_declared=True)
        assert result["p_holm"] > 1e-4, (sampling, result["tests"])


def test_the_models_generation_config_changes_nothing(drawn: tuple[str, dict[str, Any]]) -> None:
    _, answer = drawn
    neutral = {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
    }
    assert neutral.items() <= answer["params"].items()
    assert answer["params"]["frequency_penalty"] == 0.0
    assert answer["params"]["min_tokens"] == 0
    assert answer["params"]["seed"] == 11


def test_the_command_samples_grows_and_certifies_with_vllm(tmp_path: Path, shell: Shell, family_folder: Folder) -> None:
    out, twin = tmp_path / "own", tmp_path / "twin"
    base = f"faithful generate --model {family_folder('llama')} --engine vllm --max-tokens 31 --held-out 400"
    base += " --shard-rows 64 --batch 32 --workers 1"
    for folder, tokens in ((out, 2000), (out, 4000), (twin, 4000)):
        done = shell(f"{base} --out {folder} --tokens {tokens}")
        assert done.code == 0, done.stderr
    manifest = read_manifest(out)
    assert manifest.identity["engine"]["promise"] == "distribution"
    assert manifest.certificate is not None
    assert manifest.certificate["p_holm"] > 1e-4
    assert manifest.provenance["generation_config_not_applied"]["temperature"] == 0.6
    grown, direct = (list(Corpus(folder).documents()) for folder in (out, twin))
    assert len(grown) == len(direct)
    assert np.mean([np.array_equal(a, b) for a, b in zip(grown, direct, strict=True)]) > 0.99


def test_two_workers_deterministic_give_the_same_bytes_unpromised(tmp_path: Path, family_folder: Folder) -> None:
    files = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        arguments = [
            sys.executable,
            "-m",
            "faithful",
            "generate",
            "--model",
            str(family_folder("gpt2")),
            "--engine",
            "vllm",
        ]
        arguments += [
            "--max-tokens",
            "31",
            "--held-out",
            "400",
            "--shard-rows",
            "48",
            "--batch",
            "16",
            "--workers",
            workers,
        ]
        arguments += ["--out", str(out), "--tokens", "3000", "--deterministic", "--certify-tokens", "0"]
        done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert read_manifest(out).identity["engine"]["promise"] == "distribution"
        files.append({path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("part-*.parquet"))})
    assert files[0] == files[1]
