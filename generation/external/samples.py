"""Rows that others drew from a model as documents: ids checked, ends told, texts tokenised again and counted."""

from collections import Counter
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from generation.external.encoder import Encoder
from generation.external.windows import Unit
from generation.files.templates import is_missing
from generation.sampling.distribution import Sampling
from generation.sources.samples import (
    COUNTING,
    ENDS_UNKNOWN,
    PADDED,
    PUT_BACK,
    ROUND_TRIP,
    SAMPLES,
    TOO_LONG,
    Samples,
    count_of,
    number_of,
    refuse_ids_as_text,
    refuse_other,
)
from generation.sources.source import Row, Source
from generation.writing.shards import decode
from generation.writing.splits import split_of

ENDED = ("stop", "eos", "eos_token", "end_of_text", "end_of_sequence")
CUT = ("length", "max_length", "max_tokens", "max_new_tokens")


LARGEST = float(np.finfo(np.float32).max)


class SampleMaker:
    """Makes documents of samples.

    Args:
        spec: the model they are of.
        tokenizer: its tokenizer.
        encoder: the same for texts, its limit the longest document.
        source: what the columns say.
        sampling: as declared.
    """

    def __init__(self, spec: ModelSpec, tokenizer: Any, encoder: Encoder, source: Source, sampling: Sampling) -> None:
        assert source.samples is not None
        self.spec, self.tokenizer, self.encoder, self.source = spec, tokenizer, encoder, source
        self.samples: Samples = source.samples
        self.declared = sampling.to_dict()
        self.padding = {*spec.eos_ids, *([] if tokenizer.pad_token_id is None else [tokenizer.pad_token_id])}

    def units(self, batch: list[Row], counted: Counter[str]) -> list[Unit]:
        """Documents of some rows, in their order. Those without tokens are left out and counted.

        Raises:
            FaithfulError: a row that is no sample of the model; names it and says why.
        """
        for row in batch:
            refuse_other(self.samples, self.declared, row.values, self._name(row))
            self._refuse_prompt(row)
        made = self._of_ids(batch, counted) if self.samples.are_ids else self._of_texts(batch, counted)
        units = [unit for unit in made if len(unit.token_ids)]
        counted[SAMPLES] += len(units)
        counted["without tokens"] += len(batch) - len(units)
        return units

    def _of_ids(self, batch: list[Row], counted: Counter[str]) -> list[Unit]:
        return [self._of_row(row, counted) for row in batch]

    def _of_row(self, row: Row, counted: Counter[str]) -> Unit:
        given = self._checked(row)
        bos, ends = self.spec.bos_id, self.spec.eos_ids
        # Where BOS is the end-of-text too, one alone is a sample that ended at once.
        prompted = int(len(given) > 0 and given[0] == bos and (bos not in ends or len(given) > 1))
        ids = given[prompted:]
        closed = self._ended(row)
        last = next((place for place, token in enumerate(ids) if token in ends), None)
        if last is not None:
            self._refuse_beyond(row, ids[last], ids[last + 1 :])
            counted[PADDED] += last + 1 < len(ids)
            ids, closed = ids[: last + 1], True
        if bos not in ends and bos in ids:
            raise FaithfulError(
                f"{self._name(row)} holds BOS (id {bos}) among its ids: a sample is what the model drew after one BOS; give"
                " each sample alone."
            )
        log_p = self._log_p(row, len(given), prompted, len(ids))
        if closed and last is None:
            if self.encoder.eos_id is None:
                raise FaithfulError(
                    f"{self._name(row)} ended by itself, says its row, and {self.spec.name} has no end-of-text."
                )
            counted[PUT_BACK] += 1
            ids, log_p = [*ids, self.encoder.eos_id], None
        if len(ids) > self.encoder.limit:
            counted[TOO_LONG] += 1
            ids, log_p, closed = ids[: self.encoder.limit], log_p and log_p[: self.encoder.limit], False
        return self._unit(row, np.array(ids, np.uint32), bool(closed), log_p)

    def _of_texts(self, batch: list[Row], counted: Counter[str]) -> list[Unit]:
        bodies = self.encoder.beginnings([row.text for row in batch])
        texts = decode(self.tokenizer, [ids.tolist() for ids in bodies], self.spec.mapped)
        units = []
        for row, ids, again in zip(batch, bodies, texts, strict=True):
            refuse_ids_as_text(row.text, ", ".join(self.source.columns), self.source.name)
            closed, count = self._closed(row), self._count(row)
            is_whole = len(ids) < self.encoder.limit
            if again == row.text if is_whole else row.text.startswith(again):
                known = count if is_whole else None
                counted.update(
                    ROUND_TRIP + what
                    for what, more in COUNTING.items()
                    if known in (None, len(ids) + more[bool(closed)])
                )
            counted[ENDS_UNKNOWN] += closed is None
            if closed and is_whole and self.encoder.eos_id is not None:
                units.append(self._unit(row, np.append(ids, np.uint32(self.encoder.eos_id)), True))
            else:
                units.append(self._unit(row, ids, False))
        return units

    def _unit(self, row: Row, ids: np.ndarray, closed: bool, log_p: list[float] | None = None) -> Unit:
        return Unit(row.doc_id, row.source, split_of(ids[:-1] if closed else ids), ids, closed, log_p)

    def _name(self, row: Row) -> str:
        return f"Sample {row.doc_id} of {self.source.name}"

    def _closed(self, row: Row) -> bool | None:
        """Whether a text ended by itself, as far as is known: its finish reason, else its count.

        Its own length does not tell: a text that was cut for length may come back with fewer tokens than were drawn.
        """
        stated, count = self._ended(row), self._count(row)
        if stated is not None or count is None or self.samples.longest is None:
            return stated
        return count < self.samples.longest

    def _count(self, row: Row) -> int | None:
        return count_of(row.values.get(self.samples.count)) if self.samples.count else None

    def _ended(self, row: Row) -> bool | None:
        """Whether a sample ended by itself, None where its row does not say."""
        reason = row.values.get(self.samples.finish_reason) if self.samples.finish_reason else None
        reason = reason.get("type") if isinstance(reason, dict) else reason
        if is_missing(reason) or reason == "":
            return None
        if reason not in ENDED + CUT:
            raise FaithfulError(
                f"{self._name(row)} has the finish reason {reason!r}; known are {', '.join(ENDED + CUT)}: leave out samples"
                " that ended otherwise, all of them."
            )
        return reason in ENDED

    def _checked(self, row: Row) -> list[int]:
        """The ids of a row: whole numbers inside the vocabulary."""
        column = self.source.columns[0]
        value = row.values.get(column)
        if not isinstance(value, list | tuple):
            kind = "nothing" if value is None else type(value).__name__
            what = f"text, {value[:20]!r}," if isinstance(value, str) else kind
            raise FaithfulError(
                f"{self._name(row)} has in the column '{column}' {what} where a list of token ids is needed: write lists of"
                " whole numbers (Parquet or JSON lines), or choose with --column."
            )
        return [self._id(row, token) for token in value]

    def _id(self, row: Row, token: Any) -> int:
        if type(token) is not int:
            raise FaithfulError(f"{self._name(row)} holds {token!r} among its ids, which are whole numbers; mend it.")
        if not 0 <= token < self.spec.vocab_size:
            raise FaithfulError(
                f"{self._name(row)} holds the id {token}, and the vocabulary of {self.spec.name} ends at"
                f" {self.spec.vocab_size - 1}: name the model that drew it with --for."
            )
        return token

    def _refuse_beyond(self, row: Row, end: int, tail: list[int]) -> None:
        """Refuse a sample that goes on after its end with more than padding."""
        other = next((token for token in tail if token not in self.padding), None)
        if other is not None:
            also = " (which is BOS too)" if end == self.spec.bos_id else ""
            raise FaithfulError(
                f"{self._name(row)} goes on with id {other} after the end-of-text {end}{also}: give each sample alone, up to"
                " its first end-of-text."
            )

    def _refuse_prompt(self, row: Row) -> None:
        prompt = row.values.get(self.samples.prompt_ids) if self.samples.prompt_ids else None
        if not is_missing(prompt) and prompt not in ([], "", self.spec.bos_id, [self.spec.bos_id]):
            raise FaithfulError(
                f"{self._name(row)} was drawn after the prompt {str(prompt)[:40]}, and only what follows BOS alone (id"
                f" {self.spec.bos_id}) can be certified; leave such samples out, or give another --bos."
            )

    def _log_p(self, row: Row, given: int, prompted: int, kept: int) -> list[float] | None:
        """The stored log p of the ids that are kept, where a column has them."""
        if not self.samples.logprobs:
            return None
        values = row.values.get(self.samples.logprobs)
        if not isinstance(values, list | tuple) or len(values) not in (given, given - prompted):
            raise FaithfulError(
                f"{self._name(row)} has no log-probability for each of its {given} ids in '{self.samples.logprobs}'; write as"
                " many, or leave --logprobs out."
            )
        values = values[prompted if len(values) == given else 0 :][:kept]
        found = [one for value in values if (one := number_of(value)) is not None and abs(one) <= LARGEST]
        if len(found) < len(values):
            raise FaithfulError(
                f"{self._name(row)} has log-probabilities in '{self.samples.logprobs}' that are no numbers; leave --logprobs"
                " out."
            )
        return found
