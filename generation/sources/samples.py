"""Samples of a model that others drew, as they stand in the rows of a source: which column says what."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from faithful.base.errors import FaithfulError
from faithful.store.manifest_parts import SamplesPart
from generation.files.templates import is_missing

IDS = ("token_ids", "output_token_ids", "output_ids", "sequences", "input_ids", "ids")
FINISH_REASON, PROMPT_IDS = "finish_reason", "prompt_token_ids"
COUNTS = ("tokens", "n_tokens", "num_tokens")
MODELS = ("model", "model_name", "model_id")
STATED = {
    "temperature": ("temperature", "temp"),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "min_p": ("min_p",),
    "repetition_penalty": ("repetition_penalty",),
}
SAMPLES, TOO_LONG, PADDED, PUT_BACK = (
    "samples",
    "cut to the context",
    "ids after the end removed",
    "end-of-text put back",
)
ROUND_TRIP, ENDS_UNKNOWN = "texts that tokenise to themselves", "not known to have ended"
COUNTING = {"": (0, 0), ", ends counted": (0, 1), ", BOS counted": (1, 1), ", BOS and ends counted": (1, 2)}
"""What a count may hold beside the tokens of a text: by how much it is larger where that was cut, and where it ended."""
ROUND_TRIPS = tuple(ROUND_TRIP + what for what in COUNTING)
COUNTED = (SAMPLES, TOO_LONG, PADDED, PUT_BACK, ENDS_UNKNOWN, *ROUND_TRIPS)
"""What is counted of samples beside the reasons why some are left out."""
_IDS_AS_TEXT = re.compile(r"\s*\[\s*-?[0-9]+(?:\s*,\s*-?[0-9]+)+[\s,-]*\]?\s*")
Opened = Callable[[tuple[str, ...]], Iterator[Mapping[str, object]]]


@dataclass(frozen=True)
class Samples:
    """Which columns of a source say what of its samples; None where none does.

    Attributes:
        are_ids: whether the samples are token ids; else they are texts.
        finish_reason: how a sample ended.
        prompt_ids: what it was prompted with.
        logprobs: log p of each of its ids.
        count: of how many tokens a text was.
        longest: texts of so many tokens, by their count, were cut for length: as declared, else the largest of these counts.
        model: column that names the model, and what it says.
        stated: columns that state the sampling, each after the field of `Sampling` that it is.
    """

    are_ids: bool
    finish_reason: str | None = None
    prompt_ids: str | None = None
    logprobs: str | None = None
    count: str | None = None
    longest: int | None = None
    model: tuple[str, str] | None = None
    stated: tuple[tuple[str, str], ...] = ()

    def columns(self) -> tuple[str, ...]:
        """All columns beside that of the samples themselves."""
        named = (self.finish_reason, self.prompt_ids, self.logprobs, self.count, self.model and self.model[0])
        return tuple(dict.fromkeys([*filter(None, named), *(column for _, column in self.stated)]))

    def identity(self) -> SamplesPart:
        """JSON values, what there is none of left out."""
        values = asdict(self) | {
            "model": self.model and list(self.model),
            "stated": [list(pair) for pair in self.stated],
        }
        return cast(SamplesPart, {name: value for name, value in values.items() if value not in (None, [])})


def counted_rows(counts: Mapping[str, int]) -> dict[str, int]:
    """What was counted, `ROUND_TRIP` once: as the counts of tokens were taken, which is how most texts agree with them."""
    trips = [counts.get(name, 0) for name in ROUND_TRIPS]
    rest = {what: count for what, count in counts.items() if what not in ROUND_TRIPS}
    return rest | ({ROUND_TRIP: max(trips)} if any(trips) else {})


@dataclass(frozen=True)
class Wanted:
    """What was stated of the columns; see `Samples`."""

    ids: bool = False
    finish_reason: str | None = None
    prompt_ids: str | None = None
    logprobs: str | None = None
    longest: int | None = None


def ids_column(available: Sequence[str], columns: tuple[str, ...] | None, where: str) -> str:
    """The column of the token ids.

    Raises:
        FaithfulError: several are named, or none is there.
    """
    if columns and len(columns) > 1:
        raise FaithfulError(f"Token ids stand in one column, not in {', '.join(columns)}; name one with --column.")
    names = columns or IDS
    found = next((name for name in names if name in available), None)
    if found is None:
        raise FaithfulError(
            f"{where} has no column '{names[0]}' of token ids; it has {', '.join(available)}: choose with --column."
        )
    return found


def find_columns(
    wanted: Wanted, available: Sequence[str], first: Mapping[str, Any], opened: Opened, where: str
) -> Samples:
    """The columns that say something of the samples of a source.

    Args:
        wanted: those that were stated.
        available: all there are.
        first: the first row.
        opened: reads some columns of every row.
        where: what the source is called in a sentence.

    Raises:
        FaithfulError: a column that was stated is not there.
    """
    for column in (wanted.finish_reason, wanted.prompt_ids, wanted.logprobs):
        if column and column not in available:
            raise FaithfulError(f"{where} has no column '{column}'; it has {', '.join(available)}.")
    count, longest = None, wanted.longest
    if not wanted.ids:
        count = next((name for name in COUNTS if count_of(first.get(name)) is not None), None)
    model = next((name for name in MODELS if isinstance(first.get(name), str)), None)
    stated = ((field, next((n for n in names if n in available), None)) for field, names in STATED.items())
    if count and longest is None:
        counts = (count_of(row.get(count)) for row in opened((count,)))
        longest = max(value for value in counts if value is not None)
    return Samples(
        are_ids=wanted.ids,
        finish_reason=wanted.finish_reason or (FINISH_REASON if FINISH_REASON in available else None),
        prompt_ids=wanted.prompt_ids or (PROMPT_IDS if PROMPT_IDS in available else None),
        logprobs=wanted.logprobs,
        count=count,
        longest=None if wanted.ids else longest,
        model=(model, first[model]) if model else None,
        stated=tuple((field, column) for field, column in stated if column),
    )


def number_of(value: object) -> float | None:
    """A finite number, also as tables of text write it; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def count_of(value: object) -> int | None:
    """A whole number from 0 on, as a table with gaps (30.0) or of text writes it, too; None for everything else."""
    number = number_of(value)
    return int(number) if number is not None and number.is_integer() and 0 <= number < 2**63 else None


def refuse_other(samples: Samples, declared: Mapping[str, Any], row: Mapping[str, Any], name: str) -> None:
    """Compare what a row says of its model and its sampling with the others and with what is declared.

    Raises:
        FaithfulError: it says something else.
    """
    if samples.model:
        column, model = samples.model
        if row.get(column) != model:
            raise FaithfulError(
                f"{name} is of the model {row.get(column)!r} and others are of {model!r}, says the column '{column}': give"
                " the samples of one model."
            )
    for field, column in samples.stated:
        value, wanted = row.get(column), declared[field]
        number = number_of(value)
        if is_missing(value) or value == "" or (field == "top_k" and number == -1 and wanted == 0):
            continue
        if number is None or not math.isclose(number, wanted, rel_tol=1e-6):
            option = f"--{field.replace('_', '-')}"
            raise FaithfulError(
                f"{name} was drawn with {column} {value}, says its row, and {option} {wanted:g} is declared: declare what is"
                " true of all samples, or give those of one sampling."
            )


def refuse_ids_as_text(value: Any, column: str, where: str) -> None:
    """Refuse a text that is a list of numbers, or the beginning of one: it is no text, and its characters are no sample.

    Raises:
        FaithfulError: it is one.
    """
    if isinstance(value, str) and _IDS_AS_TEXT.fullmatch(value):
        raise FaithfulError(
            f"The column '{column}' of {where} holds lists of numbers written as text, such as {value[:20]!r}…: write token"
            " ids as lists (Parquet or JSON lines) and add them with --ids, or choose the column of the texts."
        )
