"""`faithful corpus join`: the corpus of the parts that `faithful generate --part` made, byte for byte as one run makes it."""

import re
import shutil
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically
from faithful.base.progress import Progress, Reporter, silent
from faithful.base.quantities import Part, check_stated
from faithful.models.tokenizer import load_tokenizer
from faithful.options.line import command_line
from faithful.store.corpus import SPLITS, Manifest, Shard, from_table, is_intact, write_manifest
from faithful.store.corpus_part import PartManifest, read_part
from generation.cards.describe import describe
from generation.cards.made_by import made_by
from generation.configs.generate import GenerateConfig, JoinConfig
from generation.own.part import DEVIATIONS, Lengths
from generation.writing.identity import spec_of
from generation.writing.job import CorpusJob, CorpusResult, run_job
from generation.writing.recorded import flat, open_corpus, refuse_other_identity
from generation.writing.shards import write_documents
from generation.writing.splits import largest_requested

Found = dict[int, list[tuple[Path, Shard]]]
"""Shards of a split by their numbers, each in all the folders that have it."""

FAR = 10**12
"""Samples of a corpus so large that the certainty of its tokens depends on those seen alone."""


@dataclass(frozen=True)
class _Taken:
    """A shard of the corpus: in which part it is, and how many of its rows belong to the corpus."""

    folder: Path
    shard: Shard
    rows: int


def join(config: JoinConfig, report: Reporter = silent) -> CorpusResult:
    """Make the corpus of some parts: their shortest prefix with the tokens that they were asked for.

    Raises:
        FaithfulError: a folder that is no part, parts of different corpora, shards that differ between parts, that are
            damaged or missing; another corpus in the folder.
    """
    check_stated(config)
    return run_job(_Join(config), report)


class _Join(CorpusJob):
    command = "corpus join"

    def __init__(self, config: JoinConfig) -> None:
        self.config, self.folder = config, config.out
        self.parts = {folder: read_part(folder) for folder in dict.fromkeys(config.parts)}
        self.first = next(iter(self.parts.values()))
        _refuse_others(self.parts)
        self.manifest = open_corpus(config.out, "own", self.first.identity, self.first.provenance)
        if not any(self.manifest.shards.values()):
            self.manifest.segments = list(self.first.segments)
        self.wanted = {split: max(part.requested[split] for part in self.parts.values()) for split in SPLITS}

    def go_on(self, manifest: Manifest) -> None:
        refuse_other_identity(self.folder, manifest, "own", self.first.identity)
        self.manifest = manifest

    def is_reached(self) -> bool:
        return all(self.manifest.tokens(split) >= tokens for split, tokens in self.wanted.items())

    def settle(self, report: Reporter) -> None:
        found = {split: _found(self.parts, split) for split in SPLITS}
        self._refuse_gaps(found)
        self.taken = {split: self._prefix(found[split], self.wanted[split]) for split in SPLITS}
        for split, taken in self.taken.items():
            for shard in self.manifest.shards[split][len(taken) :]:
                if not is_intact(self.folder, shard):
                    raise FaithfulError(
                        f"{self.folder / shard.file} is missing or damaged, and these parts were asked for fewer tokens"
                        " than reach it; give the parts more --tokens and join again, or join into another --out."
                    )

    def keeps(self, error: Exception, was_empty: bool) -> bool:
        return True

    def write(self, report: Reporter) -> bool:
        manifest, spec = self.manifest, spec_of(self.manifest)
        tokenizer = load_tokenizer(spec.files, spec.hub_revision())
        manifest.requested = largest_requested(manifest, self.wanted)
        everything, changed = sum(map(len, self.taken.values())), False
        for split, taken in self.taken.items():
            there = manifest.shards[split]
            for number, one in enumerate(taken):
                rows = max(one.rows, there[number].rows if number < len(there) else 0)
                if number < len(there) and rows == there[number].rows and is_intact(self.folder, there[number]):
                    continue
                if rows < one.shard.rows:
                    documents = from_table(pq.read_table(one.folder / one.shard.file))[:rows]
                    shard = write_documents(self.folder, split, number, documents, spec, tokenizer)
                else:
                    shard = one.shard
                    write_atomically(self.folder / shard.file, partial(shutil.copyfile, one.folder / shard.file))
                there[number:] = [shard, *there[number + 1 :]]
                manifest.certificate = manifest.statistics = None
                write_manifest(self.folder, manifest)
                changed = True
                report(Progress("joining", number + 1, everything, "shards"))
        return changed

    def finish(self, report: Reporter) -> bool:
        return describe(self.folder, self.config.certify_tokens, report, device=self.config.device)

    def log_entry(self) -> dict[str, object]:
        return {"parts": len(self.parts)}

    def holds(self) -> str:
        return f"{self.folder} already holds {self.manifest.tokens():,} tokens"

    def wrote(self) -> str:
        return (
            f"{self.folder} holds {self.manifest.tokens():,} training tokens in {self.manifest.rows():,} samples and"
            f" {self.manifest.tokens('test'):,} held-out tokens, of {len(self.parts)} parts."
        )

    def _prefix(self, found: Found, wanted: int) -> list[_Taken]:
        """The shards up to the one that reaches the tokens, which is cut there."""
        taken, tokens = list[_Taken](), 0
        for number in count():
            if tokens >= wanted:
                return taken
            folder, shard = _whole(found[number])
            rows = shard.rows
            if tokens + shard.tokens >= wanted:
                lengths = pq.read_table(folder / shard.file, columns=["n_tokens"])["n_tokens"].to_numpy()
                rows = int(np.searchsorted(np.cumsum(lengths), wanted - tokens)) + 1
            taken.append(_Taken(folder, shard, rows))
            tokens += shard.tokens
        raise AssertionError("unreachable")

    def _refuse_gaps(self, found: dict[str, Found]) -> None:
        """Refuse parts that lack shards, and say which commands make them: those of parts that are not there at first.

        Raises:
            FaithfulError: they do.
        """
        sizes = {split: self._size(found[split], found["train"], self.wanted[split]) for split in SPLITS}
        lacking = [(split, one) for split in SPLITS for one in range(sizes[split]) if one not in found[split]]
        if not lacking:
            return
        of, folders = self.first.place.of, {part.place: folder for folder, part in self.parts.items()}
        absent = [one for one in lacking if Part(one[1] % of, of) not in folders]
        lacking = absent or lacking
        named = []
        for split in SPLITS:
            numbers = [number for of_split, number in lacking if of_split == split]
            if numbers:
                named.append(f"{', '.join(map(str, numbers[:9]))}{' …' if numbers[9:] else ''} of `{split}`")
        parts = sorted({number % of for _, number in lacking})
        commands = "; ".join(self._command(Part(number, of), folders, sizes) for number in parts[:4])
        more = f" (and parts {', '.join(f'{number}/{of}' for number in parts[4:])} likewise)" if parts[4:] else ""
        raise FaithfulError(
            f"The parts lack the shards {' and '.join(named)}; make them with {commands}{more}, then join again."
        )

    def _size(self, found: Found, of_train: Found, wanted: int) -> int:
        """How many shards the corpus has; those between others count with the mean of others, those after them cautiously.

        The caution is dropped where so few samples are seen that it takes half of any number of tokens, or all.
        """
        rows, last = self.first.identity["engine"]["shard_rows"], max(found, default=-1)
        seen = Lengths.of([shards[0][1] for shards in (of_train or found).values()])
        is_vague = seen is not None and seen.at_least(FAR) < seen.at_least(FAR, 0) / 2
        deviations = 0 if is_vague else DEVIATIONS
        known = between = after = 0
        for number in count():
            estimate = seen.at_least(between, 0) + seen.at_least(after, deviations) if seen else 0
            if known + estimate >= wanted or (not seen and number):
                return number
            if number in found:
                known += found[number][0][1].tokens
            elif number < last:
                between += rows
            else:
                after += rows
        raise AssertionError("unreachable")

    def _command(self, part: Part, folders: dict[Part, Path], sizes: dict[str, int]) -> str:
        """What makes the shards that a part lacks, or the part where it is not among those given."""
        if folder := folders.get(part):
            shards = ",".join(map(str, sizes.values()))
            return f"`{command_line(GenerateConfig(out=folder), part=part, shards=shards)}`"
        config = replace(
            cast(GenerateConfig, made_by(self.first)),
            out=self._beside(part),
            tokens=self.wanted["train"],
            held_out=self.wanted["test"],
        )
        return f"`{command_line(config, part=part)}`"

    def _beside(self, part: Part) -> Path:
        """A folder for another part, named as its sibling is where that has its number in its name."""
        folder, place = next(iter(self.parts)), self.first.place
        named = re.compile(rf"(?<!\d){place.number}(-of-{place.of})(?!\d)")
        if not named.search(folder.name):
            return folder.parent / f"own-{part.number}-of-{part.of}"
        return folder.parent / named.sub(rf"{part.number}\1", folder.name)


def _refuse_others(parts: dict[Path, PartManifest]) -> None:
    """Refuse parts of several corpora.

    Raises:
        FaithfulError: names the part and what differs.
    """
    (folder, first), *others = parts.items()
    for other, part in others:
        here, there = flat(first.identity), flat(part.identity)
        changes = [
            f"{name} {there.get(name)}, not {here.get(name)}"
            for name in dict.fromkeys([*here, *there])
            if here.get(name) != there.get(name)
        ]
        if changes:
            raise FaithfulError(
                f"{other} is a part of another corpus than {folder}: {'; '.join(changes[:4])}. Leave it out."
            )


def _found(parts: dict[Path, PartManifest], split: str) -> Found:
    """The shards of all parts.

    Raises:
        FaithfulError: two of one number differ.
    """
    found: Found = {}
    for folder, part in parts.items():
        for number, shard in zip(part.numbers(split), part.shards[split], strict=True):
            same = found.setdefault(number, [])
            if same and same[0][1].sha256 != shard.sha256:
                raise FaithfulError(
                    f"{same[0][0]} and {folder} hold different samples in shard {number} of `{split}`; leave one of them out."
                )
            same.append((folder, shard))
    return found


def _whole(shards: list[tuple[Path, Shard]]) -> tuple[Path, Shard]:
    """One whose file has its checksum.

    Raises:
        FaithfulError: there is none.
    """
    for folder, shard in shards:
        if is_intact(folder, shard):
            return folder, shard
    folder, shard = shards[0]
    raise FaithfulError(
        f"Cannot read {folder / shard.file}: it is missing or damaged; run the command that made the part again."
    )
