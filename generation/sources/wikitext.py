"""WikiText as articles: its rows are lines of tokenised text, with titles as lines of their own."""

import re
from collections.abc import Iterable, Iterator

_TITLE = re.compile(r"^\s*= ([^=].*[^=]|[^=]) =\s*$")
_HEADING = re.compile(r"^\s*(?:= )+(.*?)(?: =)+\s*$")
_PAIRS = (
    (re.compile(r'"\s+([^"]*?)\s+"'), r'"\1"'),
    (re.compile(r"\(\s+"), "("),
    (re.compile(r"\s+\)"), ")"),
    (re.compile(r"\[\s+"), "["),
    (re.compile(r"\s+\]"), "]"),
    (re.compile(r"\s+([.,;:!?%])(?=\s|$|[\")\]])"), r"\1"),
    (re.compile(r"\s+('s|'re|'ve|'ll|'d|'m|n't)\b"), r"\1"),
    (re.compile(r"(?<=s)\s+'(?=\s|$)"), "'"),
    (re.compile(r"\s+°\s+"), "°"),
)


def detokenise(line: str) -> str:
    """A line as it was before WikiText put spaces around its punctuation, as far as that can be told."""
    for mark in "-,.":
        line = line.replace(f" @{mark}@ ", mark)
    for pattern, replacement in _PAIRS:
        line = pattern.sub(replacement, line)
    return line.strip()


def articles(lines: Iterable[str | None]) -> Iterator[tuple[int, str]]:
    """Join lines to articles: a title that follows an empty line begins one; headings lose their equals signs.

    Yields:
        Lines consumed so far, and the article: its title and paragraphs with a blank line between two of them. What
        precedes the first title is an article too.
    """
    parts: list[str] = []
    blank = True
    count = 0
    for count, line in enumerate(lines, 1):
        text = (line or "").strip()
        if blank and parts and _TITLE.match(text):
            yield count - 1, "\n\n".join(parts)
            parts = []
        blank = not text
        if text:
            heading = _HEADING.match(text)
            parts.append(detokenise(heading.group(1) if heading else text))
    if parts:
        yield count, "\n\n".join(parts)
