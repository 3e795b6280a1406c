"""Documents of uniform random tokens."""

from collections.abc import Callable
from typing import Any

import numpy as np

from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from generation.external.noise import Noise

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_documents_are_functions_of_seed_split_and_index_alone(family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    tokenizer = load_tokenizer(spec.source, spec.hub_revision())
    noise = Noise(tokenizer, spec, 3, 40)
    seventh = noise.document("train", 7)
    assert seventh == Noise(tokenizer, spec, 3, 40).document("train", 7)
    others = [noise.document("train", 8), noise.document("test", 7), Noise(tokenizer, spec, 4, 40).document("train", 7)]
    assert all(one.token_ids != seventh.token_ids for one in others)
    assert (seventh.index, len(seventh.token_ids), seventh.finish_reason) == (7, 40, "length")
    assert (seventh.doc_id, others[1].doc_id, seventh.source) == ("noise-7", "noise-test-7", "noise")
    assert Noise(tokenizer, spec, 3, 60).document("train", 7).token_ids[:40] == seventh.token_ids


def test_every_id_with_a_string_and_no_other_is_drawn(family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    tokenizer = load_tokenizer(spec.source, spec.hub_revision())
    noise = Noise(tokenizer, spec, 0, 1000)
    drawn = np.unique([noise.document("train", index).token_ids for index in range(30)])
    assert np.array_equal(drawn, noise.ids)
    assert not {spec.bos_id, *spec.eos_ids, *tokenizer.all_special_ids} & set(drawn.tolist())
