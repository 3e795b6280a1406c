"""Which documents are scored, and what of the others their scoring needs."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from generation.certificate.certify import certify
from generation.configs.certify import CertifyConfig
from generation.scoring.scored_part import choose_part
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_copies_are_found_even_when_only_one_of_them_is_scored(own: Path, family_model: Model) -> None:
    spec = family_model("gpt2")[0]
    documents = [d for d in Corpus(own).documents() if len(d) > 20]
    twice = write_external(own.parent / "twice", spec, {"train": documents * 2})
    part = choose_part(Corpus(twice), "train", Corpus(twice).tokens() // 8)
    assert len(part.documents) < len(documents) / 2
    late = part.indices >= len(documents)
    assert part.repeated is not None and (part.repeated == late).all() and late.any() and not late.all()
    assert part.population == 2 * len(documents)
    tokens = Corpus(twice).tokens() // 8
    result = certify(CertifyConfig(twice, tokens=tokens, device="cpu"))
    assert result["tests"]["copy"]["p_holm"] < 1e-6


def test_a_tenth_scored_finds_passages_copied_from_text_that_is_not(own: Path, family_model: Model) -> None:
    """No document stands twice; half of them hold a run of 16 tokens from another one."""
    spec = family_model("gpt2")[0]
    documents = [document for document in Corpus(own).documents() if len(document) > 28]
    copied = [np.concatenate([one[:6], other[4:20], one[-3:]]) for one, other in pairwise(documents)]
    folder = write_external(own.parent / "copied", spec, {"train": documents + copied})
    corpus = Corpus(folder)
    everything = certify(CertifyConfig(folder, everything=True, device="cpu"))["tests"]["copy"]
    tenth = certify(CertifyConfig(folder, tokens=corpus.tokens() // 10, device="cpu"))["tests"]["copy"]
    part = choose_part(corpus, "train", corpus.tokens() // 10)
    expected = sum(index >= len(documents) for index in part.indices) * 8
    assert tenth["duplicates"] == everything["duplicates"] == 0
    assert tenth["count"] >= 0.9 * expected > 20
    assert tenth["p_holm"] < 1e-6 and everything["p_holm"] < 1e-6
    own_alone = certify(CertifyConfig(own, tokens=corpus.tokens() // 10, device="cpu"))["tests"]["copy"]
    assert own_alone["p"] > 0.001


def test_a_part_holds_its_own_documents_and_not_the_batches_they_were_read_in(own: Path) -> None:
    part = choose_part(Corpus(own), "train", Corpus(own).tokens() // 8)
    assert part.log_p is not None
    assert all(array.base is None for array in (*part.documents, *part.log_p))


@pytest.mark.parametrize("odd", [float("nan"), float("-inf")])
def test_stored_log_probabilities_that_are_no_numbers_are_refused(own: Path, odd: float) -> None:
    """No difference to NaN is above a cap: it would pass."""
    manifest = read_manifest(own)
    shard = manifest.shards["train"][0]
    table = pq.read_table(own / shard.file)
    log_p = table.column("logprob_p").to_pylist()
    log_p[0][0] = odd
    place = table.schema.get_field_index("logprob_p")
    pq.write_table(
        table.set_column(place, table.schema[place], pa.array(log_p, table.schema[place].type)), own / shard.file
    )
    manifest.shards["train"][0] = replace(
        shard, sha256=sha256_file(own / shard.file), bytes=(own / shard.file).stat().st_size
    )
    write_manifest(own, manifest)
    with pytest.raises(FaithfulError, match="log-probabilities that are no numbers"):
        certify(CertifyConfig(own, everything=True, device="cpu"))
