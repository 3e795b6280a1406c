"""What absorption is measured on: the words of a vocabulary with their first letters, and labelled texts of files."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faithful.base.errors import FaithfulError
from generation.external.encoder import Encoder
from generation.files.local_files import find_files
from generation.files.templates import plain
from generation.sources.rows import READERS
from studies.absorption.config import LETTERS, AbsorptionConfig
from studies.common.inputs import StudyInput
from studies.common.panel import ordinary_ids
from studies.statistics.numbers import listed

WORD = re.compile(r" ?[A-Za-z]+")
TEMPLATE = "{word} has the first letter:"
COLUMNS = ("text", "parent", "child")


@dataclass(frozen=True)
class Labelled:
    """Texts with a parent each; what is read of a text is the activation of its last token.

    Attributes:
        name: of the task.
        rows: contexts, int64, BOS first.
        parents: int64 [n], place in `names`.
        names: of the parents that have texts enough; none, or two at least.
        children: of each text.
        few: parents with too few texts, left out; all of them where fewer than two have enough.
        unread: texts that a context does not hold whole, or of special tokens alone, left out.
    """

    name: str
    rows: list[np.ndarray]
    parents: np.ndarray
    names: tuple[str, ...]
    children: tuple[str, ...]
    few: tuple[str, ...] = ()
    unread: int = 0


def find_tasks(config: AbsorptionConfig, found: StudyInput, most: int) -> list[Labelled]:
    """The tasks of a study, each with at most so many texts.

    Raises:
        FaithfulError: a file without the columns, or with fewer than two parents that have texts enough; more examples than
            a context holds.
    """
    tasks = [letters(found, most, config.examples, config.folds, config.seed)] if not config.without_letters else []
    return tasks + [labelled(path, found, most, config.folds, config.seed) for path in config.labels]


def vocabulary(found: StudyInput) -> list[tuple[int, str]]:
    """Ids of words of one token, ASCII letters with or without a space before them, and the words."""
    tokenizer, words = found.tokenizer, []
    for one in found.spec.string_ids().tolist():
        word = tokenizer.convert_tokens_to_string([tokenizer.convert_ids_to_tokens(one)])
        if WORD.fullmatch(word):
            words.append((one, word))
    return words


def letters(found: StudyInput, most: int, examples: int, folds: int, seed: int) -> Labelled:
    """Words of one token after a few others with their letters, the same for all: SAEBench's prompt up to the word.

    What follows the word does not reach its activation, and is left out.

    Raises:
        FaithfulError: examples that fill the context.
    """
    rng = np.random.default_rng([seed, 7])
    words = vocabulary(found)
    order = rng.permutation(len(words))
    before = [words[place][1] for place in order[:examples]]
    shown = "".join(f"\n{TEMPLATE.format(word=word)} {word.strip()[0].upper()}" for word in before)
    ids = found.tokenizer(shown + "\n", add_special_tokens=False)["input_ids"] if examples else []
    prefix = [found.spec.bos_id, *ids]
    if len(prefix) >= found.context:
        raise FaithfulError(
            f"{examples} words with their letters leave no room in a context of {found.context}; write fewer."
        )
    chosen = [words[place] for place in sorted(order[examples : examples + most])]
    rows = [np.array([*prefix, one], np.int64) for one, _ in chosen]
    texts = [word.strip() for _, word in chosen]
    return _dealt(LETTERS, rows, [text[0].lower() for text in texts], texts, folds)


def labelled(path: Path, found: StudyInput, most: int, folds: int, seed: int) -> Labelled:
    """Texts of a file; those beyond `most` are left out by a draw.

    Raises:
        FaithfulError: no such columns, a row without a label, fewer than two parents with texts enough among those drawn.
    """
    builder, files = find_files(path)
    reader = READERS[builder](builder, files, [path.name])
    missing = [name for name in COLUMNS if name not in reader.columns()]
    if missing:
        raise FaithfulError(f"{path} has no column {listed(missing)}; it wants text, parent and child.")
    rows = [{name: plain(row.get(name)).strip() for name in COLUMNS} for row in reader.select(COLUMNS).rows(0)]
    for place, row in enumerate(rows):
        if not all(row.values()):
            raise FaithfulError(f"Row {place + 1} of {path} lacks a text or a label; fill it in, or take the row out.")
    order = np.random.default_rng([seed, 8]).permutation(len(rows))[:most]
    drawn = [rows[place] for place in sorted(order.tolist())]
    bos, ordinary = found.spec.bos_id, ordinary_ids(found.spec)
    ids = Encoder(found.tokenizer, found.spec, found.context).beginnings([row["text"] for row in drawn])
    read = [place for place, one in enumerate(ids) if len(one) < found.context and ordinary[one].any()]
    contexts = [np.concatenate([[bos], ids[place]]).astype(np.int64) for place in read]
    parents, children = ([drawn[place][name] for place in read] for name in ("parent", "child"))
    task = _dealt(path.stem, contexts, parents, children, folds)
    unread = len(drawn) - len(read)
    if not task.names:
        left_out = f", beside {unread:,} longer than a context or of special tokens alone" if unread else ""
        raise FaithfulError(
            f"{path} has fewer than two parents with {2 * folds} texts or more, two for each fold, among {len(read):,} drawn"
            f"{left_out}, and no probe can tell one from others; give more texts, more tokens or fewer folds."
        )
    return replace(task, unread=unread)


def _dealt(
    name: str, rows: Sequence[np.ndarray], parents: Sequence[str], children: Sequence[str], folds: int
) -> Labelled:
    """The texts of parents that have at least two for every fold; none where there are not two such parents."""
    counts = Counter(parents)
    enough = sorted(one for one in counts if counts[one] >= 2 * folds)
    names = tuple(enough) if len(enough) > 1 else ()
    kept = [place for place, one in enumerate(parents) if one in names]
    return Labelled(
        name=name,
        rows=[rows[place] for place in kept],
        parents=np.array([names.index(parents[place]) for place in kept], np.int64),
        names=names,
        children=tuple(children[place] for place in kept),
        few=tuple(sorted(counts.keys() - set(names))),
    )
