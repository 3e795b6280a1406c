"""Records that were edited or damaged: each is refused in one sentence, or gives what it gave before."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_tensors
from faithful.base.records import read_cache, record_bytes, sealed, write_record
from faithful.cli.output.training_tables import quality_rows
from faithful.formats.files import load_sae
from faithful.formats.record import read_config, seal_config
from faithful.hub.card_metadata import mapping_of
from faithful.hub.repository import _parsed
from faithful.store.corpora_of_saes import bos_of, remember_corpora, trained_corpora
from faithful.store.corpus import Corpus
from faithful.store.places import read_steps
from faithful.store.saes import find_saes, read_grid
from faithful.training.card import model_facts, render_saes
from faithful.training.checkpoint import load_checkpoint
from generation.cards.card import render
from generation.cards.origins import origins
from generation.cards.parts import Address
from generation.external.fetch_published import _listed
from generation.writing.identity import settings_from, spec_of
from generation.writing.statistics import merge
from studies.catalog import STUDIES
from studies.common.results import read_summary
from studies.common.study import Study, read_settings
from studies.report.found import read_run
from studies.runs.recipe_file import load_recipe, shipped_recipes, to_toml
from tests.faithful.hub.things import external_corpus, grid, own_corpus
from tests.mutations import flip, mutate
from tests.studies.report.test_write import seeds_summary

SUMS = {
    "rows": 40, "tokens": 700, "ended": 3, "empty": 0, "unmapped": 0, "looping": 1, "round_trip": 40,
    "logprob_p_sum": -700.0, "lengths": {"17": 20, "18": 20},
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Attributes:
        path: a whole one.
        use: what everything that reads it makes of it, to compare.
        renew: writes values as the program does, seals and hashes made anew around them; None where there are none.
        is_sealed: whether the program's own ones notice every edit.
    """

    path: Path
    use: Callable[[], Any]
    renew: Callable[[dict[str, Any]], bytes] | None = None
    is_sealed: bool = True


def corpus_kind(folder: Path) -> Kind:
    path = folder / "corpus.json"
    values = json.loads(path.read_text())
    for shard in values["shards"]["train"] + values["shards"]["test"]:
        shard["statistics"] = SUMS
    write_record(path, values)

    def use() -> Any:
        corpus = Corpus(folder)
        manifest = corpus.manifest
        own = settings_from(manifest.identity["engine"]) if manifest.kind == "own" else None
        sums = merge(shard.statistics for shard in manifest.shards["train"])
        ids = [batch.num_rows for batch in corpus.batches("train")]
        return [
            render(corpus, Address.here(corpus)),
            str(spec_of(manifest)),
            str(origins(manifest)),
            bos_of([corpus]),
            str(own),
            sums,
            ids,
        ]

    def renew(values: dict[str, Any]) -> bytes:
        return record_bytes(values | {"identity_sha256": digest(values.get("identity") or {})})

    return Kind(path, use, renew)


def sae_kind(folder: Path) -> Kind:
    place = next(iter(sorted(folder.rglob("seed-0"))))
    config = json.loads((place / "cfg.json").read_text())
    record = config["metadata"]["faithful"]
    record |= {"weights_sha256": load_sae(place).sha256(), "identity_sha256": digest(record["identity"])}
    (place / "cfg.json").write_text(json.dumps(seal_config(config)))

    def use() -> Any:
        cells = read_grid(folder)
        found = find_saes([folder])
        card = render_saes("a/b", cells, model_facts(cells, {}), None)
        return [card, str(found), [load_sae(sae.folder).sha256() for sae in found], str(quality_rows([place]))]

    def renew(values: dict[str, Any]) -> bytes:
        try:
            return json.dumps(seal_config(values)).encode()
        except (AttributeError, TypeError):  # no object any more where the seal would stand
            return json.dumps(values).encode()

    return Kind(place / "cfg.json", use, renew)


def run_kinds(folder: Path) -> dict[str, Kind]:
    """Records of a run and of its studies."""
    saes = grid(folder / "saes", seeds=(0, 1))
    remember_corpora(saes, [folder / "corpora" / "own", folder / "corpora" / "web"])
    steps = {name: {"key": "1" * 64, "left": "2" * 64, "seconds": 3.25} for name in ("corpus own", "train")}
    study = folder / "studies" / "seeds"
    config = {
        "saes": ["saes"],
        "corpora": ["corpora/own"],
        "model": "tiny",
        "tokens": 8000,
        "seed": 0,
        "thresholds": [0.7],
    }
    write_record(folder / "steps.json", steps)
    write_record(study / "settings.json", config)
    write_record(study / "summary.json", seeds_summary(2))
    write_record(study / "cells" / "a.json", {"entries": [{"accuracy": 0.5, "k": 3}, {"accuracy": 0.75, "k": 9}]})
    seeds: Study = STUDIES["seeds"]
    stated = {"saes": (Path("saes"),)}
    return {
        "steps": Kind(folder / "steps.json", lambda: [read_steps(folder), read_run(folder).steps], record_bytes),
        "corpora": Kind(saes / "corpora.json", lambda: trained_corpora(saes), record_bytes),
        "settings": Kind(
            study / "settings.json",
            lambda: [read_settings(study / "settings.json"), seeds.configure(study, stated)],
            record_bytes,
        ),
        "summary": Kind(study / "summary.json", lambda: read_summary(study / "summary.json")),
        "cache": Kind(study / "cells" / "a.json", lambda: read_cache(study / "cells" / "a.json")),
    }


def published(folder: Path) -> Kind:
    path = folder / "faithful.json"
    record = {
        "format": "faithful publication 1", "repository": "a/b", "holds": "corpus", "subject": "own", "parts": {"own": "1"},
        "cards": {"README.md": {"metadata": {"license": "mit"}, "outside": "text"}},
        "files": {"corpus.json": {"bytes": 3, "sha256": "1" * 64}, "data/a.parquet": {"bytes": 9, "sha256": "2" * 64}},
        "revision": "v1",
    }  # fmt: skip
    write_record(path, record)

    def use() -> Any:
        found = _parsed(path.read_text(errors="replace"), "faithful.json")
        return found and [found, _listed("a/b", found["files"])]

    return Kind(path, use, record_bytes)


def kinds_of(folder: Path) -> dict[str, Kind]:
    own = corpus_kind(own_corpus(folder / "run" / "corpora" / "own", shards=2))
    web = corpus_kind(external_corpus(folder / "run" / "corpora" / "web"))
    run = run_kinds(folder / "run")
    return {"own": own, "web": web, "sae": sae_kind(folder / "run" / "saes"), **run, "publication": published(folder)}


def unsealed(value: Any) -> Any:
    """A record without the seals in it."""
    if isinstance(value, dict):
        return {name: unsealed(inner) for name, inner in value.items() if name != "record_sha256"}
    return [unsealed(inner) for inner in value] if isinstance(value, list) else value


def outcome(kind: Kind) -> Any:
    """What use of a record gives, or its sentence."""
    try:
        return repr(kind.use())
    except FaithfulError as error:
        assert "\n" not in str(error), error
        assert len(str(error)) < 1000, error
        return error


def fuzz(kinds: dict[str, Kind], count: int, seed: int) -> dict[str, int]:
    """Mutate records of every kind in turn: as an edit, as an old record without a seal, with all hashes made anew."""
    draw = random.Random(seed)
    told = {"refused": 0, "as before": 0, "other and allowed": 0}
    whole = {name: (kind.path.read_bytes(), outcome(kind)) for name, kind in kinds.items()}
    for turn in range(count):
        name = list(kinds)[turn % len(kinds)]
        kind, (content, expected) = kinds[name], whole[name]
        assert isinstance(expected, str), expected
        way = draw.choice(("edit", "edit", "bits", "old", "renewed"))
        text, values = mutate(json.loads(content), draw)
        if way == "bits":
            kind.path.write_bytes(flip(content, draw))
        elif way == "old" and values is not None:
            kind.path.write_text(json.dumps(unsealed(values)))
        elif way == "renewed" and values is not None and kind.renew:
            kind.path.write_bytes(kind.renew(unsealed(values)))
        else:
            way = "edit"
            kind.path.write_text(text)
        found = outcome(kind)
        is_refused, is_same = isinstance(found, FaithfulError), found == expected
        if way in ("edit", "bits"):
            lied = not (is_refused or is_same or "record_sha256" not in kind.path.read_text(errors="replace"))
            nothing = found in (repr(None), "None")  # no record of ours any more: made anew
            assert not lied or nothing, (name, way, kind.path.read_text(errors="replace")[:3000], found, expected)
        told["refused" if is_refused else "as before" if is_same else "other and allowed"] += 1
        kind.path.write_bytes(content)
    return told


def test_mutated_records_of_every_kind(tmp_path: Path) -> None:
    told = fuzz(kinds_of(tmp_path), 180, seed=1)
    assert told["refused"] > 90, told


@pytest.mark.slow
def test_a_thousand_mutated_records(tmp_path: Path) -> None:
    told = fuzz(kinds_of(tmp_path), 1000, seed=2)
    assert told["refused"] > 500, told


def test_mutated_recipes_are_recipes_or_refused(tmp_path: Path) -> None:
    draw = random.Random(3)
    content = shipped_recipes()["demo"].read_bytes()
    odd = [
        "nan",
        "inf",
        "[" * 3000 + "]" * 3000,
        "1" * 5000,
        '"\\u0000"',
        "2020-01-01",
        "{}",
        "[[]]",
        "-1",
        "true",
        '"²"',
    ]
    path, refused = tmp_path / "one.toml", 0
    for turn in range(60):
        lines = content.decode().splitlines()
        at = draw.choice([place for place, line in enumerate(lines) if " = " in line])
        lines[at] = f"{lines[at].partition(' = ')[0]} = {draw.choice(odd)}"
        path.write_bytes("\n".join(lines).encode() if turn % 3 else flip(content, draw))
        try:
            to_toml(load_recipe(path))
        except FaithfulError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20


def test_flipped_bits_of_a_checkpoint_are_noticed(tmp_path: Path) -> None:
    draw = random.Random(4)
    path = tmp_path / "a.pt"
    numbers = torch.arange(500.0)
    write_tensors(path, {"cells": {"1" * 64: "f/seed-0"}, "step": 7, "diverged": {}, "stacks": [{"W": numbers}]})
    content = path.read_bytes()
    for _ in range(60):
        path.write_bytes(flip(content, draw))
        try:
            found = load_checkpoint(path)
        except FaithfulError:
            continue
        assert found["step"] == 7 and torch.equal(found["stacks"][0]["W"], numbers)
    for odd in ({"step": -1}, {"cells": [1]}, {"diverged": {"x": 1}}):
        write_tensors(path, {"cells": {}, "step": 7, "diverged": {}} | odd)
        with pytest.raises(FaithfulError, match="cannot be read"):
            load_checkpoint(path, tensors=False)


@pytest.mark.parametrize(
    "front",
    [
        "[" * 5000,
        "a: [",
        "when: 2020-99-99",
        "? [a]\n: b",
        "a: &a [1, 2]\nb: [*a, *a]",
        "!!python/object:os.system x",
        "\x00",
    ],
)
def test_odd_metadata_of_cards_is_one_sentence(front: str) -> None:
    with pytest.raises(FaithfulError, match=r"README\.md, line \d+: ") as caught:
        mapping_of(front, "README.md")
    assert "\n" not in str(caught.value)


def test_a_config_that_sae_lens_saved_again_is_read(tmp_path: Path) -> None:
    """It writes its version, type and device anew; all else is as it was."""
    saes = grid(tmp_path / "saes", seeds=(0,))
    kind = sae_kind(saes)
    config = json.loads(kind.path.read_text())
    config["metadata"]["sae_lens_version"], config["device"], config["dtype"] = "99.0.0", "cuda", "bfloat16"
    kind.path.write_text(json.dumps(config))
    assert read_config(kind.path)["device"] == "cuda"
    config["metadata"]["faithful"]["evaluation"]["fvu"] = 0.01
    kind.path.write_text(json.dumps(config))
    with pytest.raises(FaithfulError, match=r"cfg\.json was edited or damaged"):
        read_config(kind.path)
    assert sealed({"a": (1, 2)}) == sealed({"a": [1, 2]}) | {"a": (1, 2)}
    shutil.rmtree(saes)
