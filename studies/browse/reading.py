"""Pages of latents read again: what `faithful browse` found stands in their data, and nobody computes it twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.base.records import fit, parse_json, read_text
from faithful.base.shapes import Count, Positive
from faithful.store.saes import TrainedSae
from studies.browse.contexts import DIGITS, LEVELS, Context
from studies.browse.latents import short
from studies.browse.write import MARK

CODES = {digit: place for place, digit in enumerate(DIGITS)}


class ListPage(TypedDict):
    """Of the list of an SAE's latents: the share of tokens of text on which each fires; what a model said of some, by latent,
    and the latents of which that tells more than chance."""

    density: list[float]
    explanations: dict[str, str]
    explained: list[Count]


class SaePage(TypedDict):
    """What pages say of an SAE: its name, corpus and shape, how many of its latents they show, and its hash."""

    name: str
    corpus: str
    shape: str
    latents: Positive
    sha256: str


class RunPage(TypedDict):
    """What pages say of a run, see `studies.browse.write`."""

    name: str
    model: str
    hook: str
    layers: Positive
    parts: list[str]
    tokens: list[Count]
    saes: list[SaePage]
    chunk: Positive
    before: Count
    after: Count
    load: NotRequired[str]


class TextPage(TypedDict):
    """The contexts: ids and the string of each; ids of each context, and the place of its corpus among `parts`."""

    ids: list[Count]
    strings: list[str]
    rows: list[list[Count]]
    parts: list[Count]


@dataclass(frozen=True)
class Shown:
    """A context of a latent.

    Attributes:
        row: its place among the contexts.
        tokens: the strings of the tokens that are shown.
        values: the activation on each, to a four-thousandth of the latent's largest.
    """

    row: int
    tokens: list[str]
    values: list[float]

    @property
    def largest(self) -> float:
        """Of its activations."""
        return max(self.values)


class Pages:
    """The data of a folder of pages, of which a chunk of latents is in memory at a time.

    Args:
        folder: of the pages.
        again: the command that makes them, for messages.

    Attributes:
        run: what they say of the run.

    Raises:
        FaithfulError: no pages there, or damaged.
    """

    def __init__(self, folder: Path, again: str) -> None:
        self.folder, self.again = folder, again
        if not (folder / MARK).is_file():
            raise FaithfulError(f"{folder} holds no pages of latents; make them with `{again}`.")
        self.run: RunPage = self._data("run", RunPage)

    def place(self, sae: TrainedSae) -> int:
        """Which of the SAEs on the pages this one is.

        Raises:
            FaithfulError: none: the pages lack it, or it was trained anew since.
        """
        for place, one in enumerate(self.run["saes"]):
            if one["sha256"] == sae.sha256:
                return place
        raise FaithfulError(
            f"The pages in {self.folder} do not show {sae.source} as it is now; make them again with `{self.again}`."
        )

    @cached_property
    def text(self) -> TextPage:
        """The contexts."""
        return self._data("text", TextPage)

    @cached_property
    def strings(self) -> dict[int, str]:
        """What each id that is shown reads as."""
        return dict(zip(self.text["ids"], self.text["strings"], strict=True))

    def listed(self, place: int) -> ListPage:
        """What the list of an SAE's latents says of each."""
        found: ListPage = self._data(str(place), ListPage)
        return found

    def records(self, place: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The latents of an SAE one after another, each with its record, see `SaeFound.record`."""
        count, chunk = self.run["saes"][place]["latents"], self.run["chunk"]
        for first in range(0, count, chunk):
            records = self._data(f"{place}-{first // chunk}", list[dict[str, Any]])
            if len(records) != min(chunk, count - first):
                raise self._damaged(f"{place}-{first // chunk}", "latents are missing")
            yield from enumerate(records, first)

    def sha256(self, place: int) -> str:
        """Hash of all that they say of an SAE."""
        chunks = range(-(-self.run["saes"][place]["latents"] // self.run["chunk"]))
        names = ["run", "text", str(place), *(f"{place}-{chunk}" for chunk in chunks)]
        return digest([sha256_file(self.folder / "data" / f"{name}.js") for name in names])

    def shown(self, context: Context, largest: float) -> Shown:
        """A context of a record, whose largest activation is given, see `Firings`."""
        row, middle, codes = context
        begin = max(1, middle - self.run["before"])
        ids = self.text["rows"][row][begin : middle + self.run["after"]]
        values = [0.0] * len(ids)
        for at in range(0, len(codes), 3):
            where, high, low = (CODES[code] for code in codes[at : at + 3])
            values[where] = float(short((high << 6 | low) / LEVELS * largest) or 0.0)
        return Shown(row, [self.strings[one] for one in ids], values)

    def _data(self, name: str, shape: Any) -> Any:
        """What a script hands to the page."""
        path = self.folder / "data" / f"{name}.js"
        mend, start = f"make the pages again with `{self.again}`", f'loaded("{name}",'
        text = read_text(path, mend)
        if not text.startswith(start) or not text.endswith(");\n"):
            raise self._damaged(name, "it does not hand anything to the page")
        values = parse_json(text[len(start) : -3], str(path), mend)
        fit(values, shape, str(path), mend)
        return values

    def _damaged(self, name: str, reason: str) -> FaithfulError:
        path = self.folder / "data" / f"{name}.js"
        return FaithfulError(f"Cannot read {path}: it is damaged ({reason}); make the pages again with `{self.again}`.")
