"""The worked examples of CONTRIBUTING.md, added to the product exactly as they stand there."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from generation.files import local_files
from generation.own import engines
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request
from generation.sampling.seeds import TRAIN, sample_seed
from generation.sampling.transformers_engine import TransformersEngine
from generation.sources import resolve, rows
from generation.sources.source import Source

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
Model = Callable[[str], tuple[ModelSpec, Any]]


def blocks(section: str, language: str) -> list[str]:
    """The code of a section."""
    part = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert part is not None
    return re.findall(rf"```{language}\n(.*?)```", part[1], re.DOTALL)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Adds a module by its name, as a new file would."""

    def add(name: str, code: str) -> ModuleType:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, f"{name} of CONTRIBUTING.md", "exec"), vars(module))
        return module

    return add


def test_a_set_of_the_hub_is_an_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (entry,) = blocks("A new source", "toml")
    places = resolve.resources.files
    shipped = (places("generation.sources") / "sources.toml").read_text(encoding="utf-8")
    (tmp_path / "sources.toml").write_text(f"{shipped}\n{entry}", encoding="utf-8")
    monkeypatch.setattr(
        resolve.resources, "files", lambda name: tmp_path if name == "generation.sources" else places(name)
    )
    resolve._entries.cache_clear()
    try:
        source = resolve.find_entry("example/recipes")
        assert source is not None and source in resolve.catalog()
        assert source == Source(
            name="recipes", **{key: tuple(v) if isinstance(v, list) else v for key, v in _values(entry).items()}
        )
    finally:
        resolve._entries.cache_clear()


def _values(entry: str) -> dict[str, Any]:
    return dict(tomllib.loads(entry)["sources"]["recipes"])


def test_a_type_of_file_is_a_reader(
    added: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (code,) = blocks("A new source", "python")
    markdown = added("generation.files.markdown", code)
    monkeypatch.setitem(local_files.BUILDERS, ".md", "markdown")
    monkeypatch.setitem(rows.READERS, "markdown", markdown.Markdown)
    (tmp_path / "one.md").write_text("# A\nfirst\n# B\n\nsecond\nline\n# C\n\n", encoding="utf-8")
    (tmp_path / "two.md").write_text("# D\nfourth", encoding="utf-8")
    source = resolve.resolve_source(str(tmp_path), columns=("text",))
    assert (source.builder, source.unit) == ("markdown", "document")
    stream = rows.Rows(source, seed=0)
    found = {row.doc_id: row.text for row in stream}
    assert found == {"one.md:0": "first", "one.md:1": "second\nline", "two.md:0": "fourth"}
    assert stream.dropped == {"empty": 1}
    stopped = rows.Rows(source, seed=0)
    first = next(iter(stopped))
    rest = [row.doc_id for row in rows.Rows(source, seed=0, state=stopped.state())]
    assert [first.doc_id, *rest] == list(found)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=12), Sampling(max_tokens=12, temperature=0.7, top_p=0.9)])
def test_an_engine_draws_what_ours_draws(
    sampling: Sampling,
    added: Callable[[str, str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    family_model: Model,
) -> None:
    module, entry = blocks("A new engine", "python")
    added("generation.sampling.plain_engine", module)
    monkeypatch.setattr(engines, "ENGINES", dict(engines.ENGINES))
    exec(compile(entry, "an engine of CONTRIBUTING.md", "exec"), vars(engines))
    assert engines.choose_engine("plain", "cpu") == "plain"
    spec, model = family_model("gpt2")
    settings = EngineSettings("plain", "cpu", threads=1, slots=1, shard_rows=8, deterministic=False)
    engine = engines.ENGINES["plain"].build(spec, sampling, settings)
    requests = [Request(index, sample_seed(0, TRAIN, index)) for index in range(8)]
    ours = {sample.index: sample for sample in TransformersEngine(model, spec, sampling, slots=4).run(iter(requests))}
    lengths = []
    for sample in engine.run(iter(requests)):
        known = ours[sample.index]
        assert (sample.seed, sample.token_ids, sample.finish_reason) == (
            known.seed,
            known.token_ids,
            known.finish_reason,
        )
        assert sample.logprob_p == pytest.approx(known.logprob_p, abs=1e-4)
        lengths.append(len(sample.token_ids))
    assert len(lengths) == 8 and max(lengths) > 1
    with pytest.raises(Exception, match="choose auto, vllm, transformers or plain"):
        engines.choose_engine("other", "cpu")
