"""Offline probe tasks: passages of the embedded text that no SAE was trained on, with labels read off where they stand.

Passages are cut, and put on the side of the tests, as `faithful corpus add` does it for the same model and context: what is
used here is the split `test` of the corpora `stdlib` and `prose`, all of it: whole files and novels. The marks that a
label could be read off (quotation marks; # and triple quotes) are taken out of the text of every task of a source, so that
tasks of one source share their texts, and one reading by the model.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.embedded.passages import cut
from faithful.embedded.stdlib_seen import passage_hash, seen_passages
from faithful.models.spec import ModelSpec
from generation.external.encoder import Encoder, parallel_tokenising
from generation.external.prepare import leaves_out_seen
from generation.external.windows import NO_EOS
from generation.sources.held_out import side_of_text
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows
from studies.probes.tasks.levels import MARK

LEAST_TOKENS = 32
CHAPTER = re.compile(r"^\s*(?:CHAPTER|Chapter) +(?:\d+|[IVXLC]+)\b", re.MULTILINE)
MARKS = {"prose": re.compile('"'), "stdlib": re.compile(r"\"\"\"|'''|#")}


@dataclass(frozen=True)
class Excerpt:
    """A passage of a source.

    Attributes:
        source: novel, or path of the module.
        group: what is never on both sides of a task: a chapter or a file.
        text: as it stands in the source.
        shown: without the marks.
    """

    source: str
    group: str
    text: str
    shown: str


RULES: dict[str, Callable[[Excerpt], str | bool]] = {
    "novel": lambda passage: passage.source,
    "speech": lambda passage: '"' in passage.text,
    "tests": lambda passage: is_test_module(passage.source),
    "comment": lambda passage: bool(MARKS["stdlib"].search(passage.text)),
    "kind": lambda passage: kind_of(passage),
}


def kind_of(passage: Excerpt) -> str:
    """Code or prose, and which."""
    if not passage.source.endswith(".py"):
        return f"prose{MARK}{passage.source}"
    return f"code{MARK}{'tests' if is_test_module(passage.source) else 'library'}"


def is_test_module(path: str) -> bool:
    """Whether a path of the standard library is one of its tests."""
    *folders, file = path.split("/")
    return file.startswith("test_") or bool({"test", "tests", "idle_test"} & set(folders))


class EmbeddedText:
    """Held-out passages of the embedded sources, each source cut once.

    Args:
        tokenizer: loads the model's, once it is needed.
        spec: the model.
        context: tokens per context, BOS included; passages are one shorter.
    """

    def __init__(self, tokenizer: Callable[[], Any], spec: ModelSpec, context: int) -> None:
        self._tokenizer, self._spec, self._context = tokenizer, spec, context
        self._cut: dict[str, list[Excerpt]] = {}

    @property
    def identity(self) -> list[Any]:
        """What decides how they are cut, beside the source."""
        return [self._spec.tokenizer_sha256, self._context, LEAST_TOKENS]

    @cached_property
    def encoder(self) -> Encoder:
        """Makes token ids of texts, at most as many as a context holds beside BOS."""
        return Encoder(self._tokenizer(), self._spec, self._context - 1)

    def excerpts(self, source: str) -> list[Excerpt]:
        """Passages of the split `test` with at least 32 tokens, in the source's order.

        Args:
            source: `stdlib` or `prose`.

        Raises:
            FaithfulError: a context holds no passage.
        """
        if self.encoder.limit < LEAST_TOKENS:
            raise FaithfulError(
                f"Passages of the embedded text have at least {LEAST_TOKENS} tokens and a context of {self._context} holds"
                f" {self.encoder.limit} beside BOS; raise context, or name other texts."
            )
        if source not in self._cut:
            with parallel_tokenising():
                self._cut[source] = self._held_out(source)
        return self._cut[source]

    def _held_out(self, name: str) -> list[Excerpt]:
        source = resolve_source(name)
        unseen = leaves_out_seen(source)
        found = []
        for row in Rows(source, 0):
            if side_of_text(row.text, row.source, source.held_out) != "test":
                continue
            chapter = 0
            for passage in cut(row.text, self.encoder.backend, NO_EOS, self.encoder.limit):
                chapter += len(CHAPTER.findall(passage.text)) if name == "prose" else 0
                if len(passage.token_ids) - passage.complete < LEAST_TOKENS:
                    continue
                if unseen and passage_hash(passage.text) in seen_passages():
                    continue
                group = f"{row.source}, chapter {chapter}" if name == "prose" else row.source
                found.append(Excerpt(row.source, group, passage.text, MARKS[name].sub("", passage.text)))
        return found
