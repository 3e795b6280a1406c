"""External text: where a comparison corpus comes from, and its documents as a repeatable stream of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One document of a source.

    Attributes:
        doc_id: identity of the document inside the source, stable between runs.
        text: its text, the template applied, never empty.
        source: what it came from in words of the source (file, task or subset name), else the source's name.
    """

    doc_id: str
    text: str
    source: str
