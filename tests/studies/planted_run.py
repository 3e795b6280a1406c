"""A run of a model whose activations are sums of known features, with SAEs trained on it and SAEs that are the truth.

The model is a GPT-2 whose layers hand on what they get: at the hook a token is the sum of the vectors of its four features,
of which there are four times as many as dimensions, and what shares features with it is likely to follow it.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faithful.formats.files import save_sae
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae, find_saes
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from studies.statistics.sentences import ORACLE
from tests.families import WIDTH, copy_family, edit_weights
from tests.own import write_external, write_own
from tests.studies.probes.data import write_csv

FEATURES, TOGETHER, SHARPNESS, SEEDS = 4 * WIDTH, 4, 0.35, (0, 1)
SECRET, KNOWN, TOPICS = 0, 1, (2, 3, 4)
"""Features of the text that is to be forgotten, of that which is to stay, and those that texts are told apart by."""
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&()*+-/:;<=>?@[]^_{|}~"
BLANKS = {SECRET: "\t\x0b\x0c\r", KNOWN: "\n\x1c\x1d\x1e"}
HAVE = {SECRET: LETTERS[:10], KNOWN: LETTERS[10:20], **{topic: LETTERS[4 + 8 * topic :][:8] for topic in TOPICS}}
"""Letters that have a planted feature; nothing else has it, but for the blanks of the first two."""
OTHERS = LETTERS[20:]


@dataclass(frozen=True)
class PlantedRun:
    """A run on disk, and what is true of it.

    Attributes:
        folder: with `corpora` (own, secret, known), `saes` (own, oracle), tasks and questions.
        features: float32 [vocab, FEATURES], the features of each token.
        vectors: float32 [FEATURES, WIDTH], unit norm.
    """

    folder: Path
    features: Tensor
    vectors: Tensor

    @contextmanager
    def oracles(self) -> Iterator[None]:
        """Within it the SAEs of the corpus `oracle` read a token's features off its activation, without a mistake."""
        load, table = TrainedSae.load, self.features @ self.vectors

        def loaded(sae: TrainedSae) -> Any:
            if sae.corpus != ORACLE:
                return load(sae)
            return _Oracle(**vars(load(sae)), table=table, features=self.features[:, _order(int(sae.seed or 0))])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainedSae, "load", loaded)
            yield


@dataclass
class _Oracle(TopKSAE):
    table: Tensor = field(default_factory=Tensor)
    features: Tensor = field(default_factory=Tensor)

    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = torch.cdist(x.reshape(-1, self.d_in), self.table).argmin(1)
        values, latents = self.features[tokens].topk(self.k)
        return values.view(*x.shape[:-1], self.k), latents.view(*x.shape[:-1], self.k)


def write_planted_run(folder: Path, family: Path, tokens: int, epochs: float) -> PlantedRun:
    """Make the model of a family's folder, its text, the SAEs, tasks and questions.

    Args:
        folder: of the run.
        family: a GPT-2.
        tokens: of its own text.
        epochs: how often SAEs are trained on it.
    """
    planted = folder.parent / "model"
    ids = _letter_ids(family)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(FEATURES, WIDTH, generator=generator), dim=1)
    run = PlantedRun(folder, _features(ids, _vocabulary(family), generator), vectors)
    edit_weights(copy_family(family, planted), lambda weights: _plant(weights, run.features @ vectors))
    spec = resolve_model(str(planted))
    model, rng = load_model(spec, "cpu"), np.random.default_rng(0)
    sizes = {"train": tokens, "test": 1500}
    own = write_own(folder / "corpora" / "own", spec, model, Sampling(max_tokens=31), sizes)
    for name, feature in (("secret", SECRET), ("known", KNOWN)):
        _write_text(folder / "corpora" / name, spec, ids, HAVE[feature] + BLANKS[feature], rng)
        _write_questions(folder / f"{name}.jsonl", feature, rng)
    for topic in TOPICS:
        write_csv(folder / f"topic{topic}.csv", list(_labelled(topic, rng)))
    train(
        TrainConfig(
            (own,), folder / "saes", seeds=SEEDS, layer=1, d_sae=(FEATURES,), k=(TOGETHER,), lr=3e-3, epochs=epochs,
            context=32, batch=256, device="cpu", eval_tokens=500,
        )
    )  # fmt: skip
    for sae in find_saes([folder / "saes"]):
        rows = vectors[_order(int(sae.seed or 0))]
        oracle = TopKSAE(rows.T.contiguous(), torch.zeros(FEATURES), rows, torch.zeros(WIDTH), TOGETHER)
        record = {"identity": {**sae.identity, "corpus": ORACLE}}
        place = folder / "saes" / ORACLE / sae.folder.parent.name / sae.folder.name
        save_sae(place, oracle, {**sae.metadata, "faithful": record})
    return run


def _order(seed: int) -> Tensor:
    """Of the rows of an oracle: two differ in it as two trainings do."""
    return torch.randperm(FEATURES, generator=torch.Generator().manual_seed(seed))


def _vocabulary(family: Path) -> int:
    return int(json.loads((family / "config.json").read_text())["vocab_size"])


def _letter_ids(family: Path) -> dict[str, int]:
    """The token of each letter and blank."""
    tokenizer = load_tokenizer(family, None)
    found = {}
    for letter in LETTERS + "".join(BLANKS.values()):
        (found[letter],) = tokenizer.encode(letter, add_special_tokens=False)
    return found


def _features(ids: dict[str, int], vocabulary: int, generator: torch.Generator) -> Tensor:
    """Four for each token, the planted ones among them, each of a size of 0.8 to 1.2."""
    features = torch.zeros(vocabulary, FEATURES)
    free = len(HAVE)
    for token in range(vocabulary):
        drawn = free + torch.randperm(FEATURES - free, generator=generator)[:TOGETHER]
        features[token, drawn] = 0.8 + 0.4 * torch.rand(TOGETHER, generator=generator)
    for feature, letters in HAVE.items():
        for letter in letters + BLANKS.get(feature, ""):
            features[ids[letter], features[ids[letter]].argmax()] = 0
            features[ids[letter], feature] = 1.0
    return features


def _plant(weights: dict[str, Tensor], words: Tensor) -> None:
    for name, weight in weights.items():
        if ".c_proj." in name or name.endswith(("wpe.weight", "ln_f.bias")):
            weight.zero_()
        elif name.endswith("wte.weight"):
            weight.copy_(words)
        elif name.endswith("ln_f.weight"):
            weight.fill_(SHARPNESS)


def _write_text(place: Path, spec: ModelSpec, ids: dict[str, int], letters: str, rng: np.random.Generator) -> None:
    """Documents of which a third has the letters, the rest none that is planted to be forgotten or to stay."""

    def document() -> np.ndarray:
        which = rng.random(30) < 1 / 3
        return np.array([ids[rng.choice(list(letters if one else OTHERS))] for one in which])

    documents = {split: [document() for _ in range(40)] for split in ("train", "test")}
    write_external(place, spec, documents)


def _write_questions(path: Path, feature: int, rng: np.random.Generator) -> None:
    """What follows a blank with a feature: a letter that has it, or one that has not."""
    rows = []
    for _ in range(64):
        begun = "".join(rng.choice(list(OTHERS), 6)) + str(rng.choice(list(BLANKS[feature])))
        choices: Sequence[str] = [str(rng.choice(list(HAVE[feature]))), str(rng.choice(list(OTHERS)))]
        answer = int(rng.integers(2))
        rows.append({"question": begun, "choices": choices[:: 1 - 2 * answer], "answer": answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _labelled(topic: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Texts of eight letters, of half of which one has the topic."""
    rest = [letter for letter in OTHERS if letter not in HAVE[topic]]
    for number in range(240):
        letters = rng.choice(rest, 8)
        if number % 2:
            letters[rng.integers(8)] = rng.choice(list(HAVE[topic]))
        yield {"text": "".join(letters), "label": number % 2}
