"""How much of a task's text stands in a corpus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Corpus
from generation.external.encoder import Encoder
from generation.writing.grams import GRAM
from studies.probes.features import text_rows
from studies.probes.overlap import overlaps
from studies.probes.tasks.examples import text_hash
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]


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
    assert vars(found[0]) == {"texts": 1, "grams": 2}
    assert vars(found[1]) == {"texts": 0, "grams": 0}
    assert all(len(row) >= GRAM for row in tokens(whole, asked[1]))
    split = write_external(tmp_path / "split", spec, {"train": [known[1][:8], known[1][8:]]})
    assert overlaps(Corpus(split), [([text_hash(whole)], tokens(whole))])[0].grams == 0
