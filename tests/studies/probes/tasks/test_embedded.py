"""Tasks made of the embedded text."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from generation.sources.resolve import resolve_source
from generation.sources.source import Row
from studies.probes.tasks import embedded as of_embedded
from studies.probes.tasks.embedded import EmbeddedText, is_test_module
from studies.probes.tasks.examples import Draw
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import known_tasks

Model = Callable[[str], tuple[ModelSpec, Any]]


def novel() -> str:
    """Twenty short chapters, in which some passages hold a quotation mark."""
    text = []
    for chapter in range(1, 21):
        text.append(f"CHAPTER {chapter}")
        for part in range(30):
            text.append(
                f"{'She said ' if part % 2 else 'It was '}{chapter} and {part}, {'so' if part % 7 else chr(34)}"
            )
    return "\n\n".join(text)


MODULES = {f"test/test_m{n}.py": f'def a{n}():\n    """Doc {n}."""\n    return {n}\n\n' * 9 for n in range(30)} | {
    f"lib{n}.py": f"def b{n}():\n    return {n} * {n + 1}\n\n" * 9 for n in range(30)
}


HELD_OUT = tuple(path for path in MODULES if not path.endswith("7.py"))


def test_embedded_passages_are_held_out_unmarked_and_split_by_chapter_or_file(
    family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = family_model("gpt2")
    novels = {"Emma": novel(), "Northanger Abbey": novel(), "Persuasion": novel().replace("and", "or")}
    sources = {"prose": novels, "stdlib": MODULES}
    whole = {name: resolve_source(name) for name in sources}
    whole["stdlib"] = replace(whole["stdlib"], held_out=HELD_OUT)
    monkeypatch.setattr(of_embedded, "resolve_source", whole.__getitem__)
    monkeypatch.setattr(
        of_embedded,
        "Rows",
        lambda source, seed: [Row(path, text, path) for path, text in sources[source.name].items()],
    )
    monkeypatch.setattr(of_embedded, "LEAST_TOKENS", 12)
    embedded = EmbeddedText(lambda: load_tokenizer(spec.source, None), spec, 48)
    prose, stdlib = embedded.excerpts("prose"), embedded.excerpts("stdlib")
    assert prose is embedded.excerpts("prose")
    held_out = {one.source for one in (*prose, *stdlib)}
    assert held_out == {"Persuasion", "Northanger Abbey", *(path for path in MODULES if path in HELD_OUT)}
    for passage, (ids, closed) in zip(prose, embedded.encoder.encode([one.text for one in prose]), strict=True):
        assert len(ids) - closed >= 12, passage
    assert not any('"' in passage.shown for passage in prose) and any('"' in passage.text for passage in prose)
    assert not any('"""' in passage.shown or "#" in passage.shown for passage in stdlib)
    chapters = {passage.group for passage in prose}
    assert {chapter.split(",")[0] for chapter in chapters} == {"Northanger Abbey", "Persuasion"} and len(chapters) > 10
    for passage in prose:
        heading = [int(line.split()[1]) for line in passage.text.splitlines() if line.startswith("CHAPTER")]
        assert not heading or passage.group.endswith(f"chapter {heading[-1]}")
    tasks = {
        name: load_task(known_tasks()[name], Draw(20, 12, 0, 1), embedded) for name in ("speech", "tests", "comment")
    }
    for data in tasks.values():
        assert data.train.groups and data.test.groups and not set(data.train.groups) & set(data.test.groups)
        assert not set(data.train.origins) & set(data.test.origins)
    assert tasks["tests"].texts == tasks["comment"].texts
    by_text = {passage.shown: passage for passage in stdlib}
    for text, label in zip(tasks["tests"].train.texts, tasks["tests"].train.y, strict=True):
        assert label == by_text[text].source.startswith("test/")


def test_test_modules_are_told_by_their_paths() -> None:
    assert all(map(is_test_module, ("test/x.py", "idlelib/idle_test/x.py", "a/test_b.py")))
    assert not any(map(is_test_module, ("latest/b.py", "c.py", "unittest/mock.py")))


def test_a_context_that_holds_no_passage_is_refused(family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    embedded = EmbeddedText(lambda: load_tokenizer(spec.source, None), spec, 32)
    with pytest.raises(
        FaithfulError, match="at least 32 tokens and a context of 32 holds 31 beside BOS; raise context"
    ):
        load_task(known_tasks()["novel"], Draw(40, 40, 0, 4), embedded)
