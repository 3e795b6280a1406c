"""Multiple-choice questions: from the Hub, from files, or made of the embedded text or a corpus; drawn repeatably."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.store.corpus import Corpus
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.rows import rows_of
from studies.unlearning.config import EMBEDDED, LEAST, hub_set

COLUMNS = ("question", "choices", "answer")
HINT = "questions have question, choices (a list) and answer (the place, letter or text of the right choice)"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHOICES = 4
PROMPT_TOKENS, LATEST = 24, 16
PASSAGES_PER_QUESTION, LONGEST_PASSAGE = 4, 2000
"""Of a corpus: held-out documents that are looked at for each question wanted, and their characters."""


@dataclass(frozen=True)
class Question:
    """A question, its choices, and the place of the right one among them."""

    text: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Questions:
    """A set of questions.

    Attributes:
        name: as the user calls it.
        items: in an order that their texts and the seed decide; each half is scored under what the other one chooses.
    """

    name: str
    items: tuple[Question, ...]

    @property
    def sha256(self) -> str:
        """Hash of all questions in their order."""
        return digest([asdict(one) for one in self.items])

    @property
    def chance(self) -> float:
        """Expected accuracy of guessing."""
        return float(np.mean([1 / len(one.choices) for one in self.items]))

    @property
    def halves(self) -> np.ndarray:
        """Bool [questions], which are in the second half."""
        return np.arange(len(self.items)) >= len(self.items) // 2


def load_questions(
    place: str, count: int, seed: int, embedded: EmbeddedText, corpora: Mapping[str, Path] | None = None
) -> Questions:
    """At most `count` questions of a set.

    Args:
        place: `stdlib`, `prose`; the name of a corpus; `wmdp-bio` and its like, `mmlu:SUBJECT`; a file or folder (CSV, JSON
            lines, Parquet).
        count: at most.
        seed: of the draw.
        embedded: cuts the embedded text for the model.
        corpora: folders by the names that are taken for theirs.

    Raises:
        FaithfulError: the set cannot be read, lacks a column, has questions without an answer or with a single choice, or
            fewer than eight.
    """
    corpora = corpora or {}
    if place in EMBEDDED:
        found = _continued(place, [one.shown for one in embedded.excerpts(place)], embedded)
    elif place in corpora:
        found = _continued(place, _passages(Corpus(corpora[place]), PASSAGES_PER_QUESTION * count), embedded)
    else:
        found = list(_read(place))
    distinct = {digest(asdict(one)): one for one in found}
    if len(distinct) < LEAST:
        raise FaithfulError(
            f"{place} holds {len(distinct)} questions, and unlearning needs at least {LEAST}; name a set that has more."
        )
    order = sorted(distinct, key=lambda name: digest([seed, name]))
    return Questions(place, tuple(distinct[name] for name in order[:count]))


def prompt(question: Question, letters: bool) -> tuple[str, list[str]]:
    """What the model reads, and the continuations whose probabilities are compared."""
    if letters:
        listed = "".join(f"\n{LETTERS[at]}. {one}" for at, one in enumerate(question.choices))
        return f"{question.text}{listed}\nAnswer:", [f" {LETTERS[at]}" for at in range(len(question.choices))]
    joined = question.text[-1:].isspace()
    return question.text, [one if joined or one[:1].isspace() else f" {one}" for one in question.choices]


def _read(place: str) -> Iterator[Question]:
    """Questions of a file or of a set on the Hub."""
    known = hub_set(place)
    repo, options = (known[0], {"config": known[1], "split": "test"}) if known else (place, {})
    for number, row in enumerate(rows_of(repo, COLUMNS, HINT, **options), 1):
        one = _question(row, f"{place}, question {number}")
        distinct = {choice.strip() for choice in one.choices} - {""}
        if len(distinct) == len(one.choices):
            yield one
        elif not known:  # those of a set that is not the user's are left out
            raise FaithfulError(
                f"{place}, question {number} has choices that are empty or alike; each needs its own text."
            )


def _question(row: Mapping[str, Any], where: str) -> Question:
    """A row as a question.

    Raises:
        FaithfulError: it has no text, fewer than two choices, or no answer among them.
    """
    text, choices = str(row["question"] or ""), _choices(row["choices"], where)
    if not text.strip():
        raise FaithfulError(f"{where} is empty; take it out.")
    if len(choices) < 2:
        raise FaithfulError(f"{where} has {len(choices)} choice{'s' * (len(choices) != 1)}; each needs at least two.")
    if len(choices) > len(LETTERS):
        raise FaithfulError(f"{where} has {len(choices)} choices; at most {len(LETTERS)} can be told apart.")
    answer = _answer(row["answer"], choices)
    if answer is None:
        raise FaithfulError(
            f"{where} has no answer among its choices ({row['answer']!r}); give the place from 0, the letter or the text."
        )
    return Question(text, choices, answer)


def _choices(value: Any, where: str) -> tuple[str, ...]:
    """Choices as a list; as JSON where a table holds text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if value is None or isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise FaithfulError(f'{where} has no list of choices; write them as ["one", "another"].')
    return tuple(str(one) for one in value)


def _answer(value: Any, choices: Sequence[str]) -> int | None:
    """The place of the right choice; None where there is none."""
    if value is None or isinstance(value, bool) or value != value:
        return None
    text = str(value).strip()
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    if isinstance(value, str) and len(text) == 1 and text.upper() in LETTERS[: len(choices)]:
        return LETTERS.index(text.upper())
    try:
        place = int(float(text))
    except ValueError:
        return None
    return place if place == float(text) and 0 <= place < len(choices) else None


def _passages(corpus: Corpus, count: int) -> list[str]:
    """Texts of held-out documents, the last of the split: the panel begins with the first."""
    texts: deque[str] = deque(maxlen=count)
    for batch in corpus.batches("test", ["text"]):
        texts.extend((text or "")[:LONGEST_PASSAGE] for text in batch.column("text").to_pylist())
    return list(texts)


def _continued(name: str, passages: Sequence[str], embedded: EmbeddedText) -> list[Question]:
    """Which word continues a passage: of each held-out passage one question, the others' words as wrong choices.

    A word is a token of letters after a space, so that choices differ in one token each.

    Raises:
        FaithfulError: too few words to choose from.
    """
    cuts = list[tuple[str, str]]()
    encoded = embedded.encoder.backend.encode_batch(passages, add_special_tokens=False)
    for passage, one in zip(passages, encoded, strict=True):
        ends = [0, *(end for _, end in one.offsets)]
        begins = [min(begin, end) for (begin, _), end in zip(one.offsets, ends, strict=False)]  # some leave a space out
        for at in range(PROMPT_TOKENS, min(len(begins), PROMPT_TOKENS + LATEST)):
            word = passage[begins[at] : ends[at + 1]]
            if len(word) > 2 and word[0] == " " and word[1:].isalpha():
                cuts.append((passage[begins[at - PROMPT_TOKENS] : begins[at]], word))
                break
    if len({word for _, word in cuts}) < CHOICES:
        raise FaithfulError(
            f"The held-out text of {name} has too few passages with a word after {PROMPT_TOKENS} tokens to make questions of;"
            " name a file of questions."
        )
    return [_among(cuts, at) for at in range(len(cuts))]


def _among(cuts: Sequence[tuple[str, str]], at: int) -> Question:
    """The question of one cut, with the words of cuts that its own text draws."""
    text, word = cuts[at]
    generator = np.random.default_rng(int(digest([text, word])[:12], 16))
    wrong: dict[str, None] = {}
    while len(wrong) < CHOICES - 1:
        other = cuts[int(generator.integers(len(cuts)))][1]
        if other != word:
            wrong[other] = None
    choices = [*wrong]
    answer = int(generator.integers(CHOICES))
    choices.insert(answer, word)
    return Question(text, tuple(choices), answer)


Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Asked:
    """Questions as the model reads them: contexts, and what is scored there.

    Attributes:
        rows: contexts, int64, BOS first; choices that differ in their last token share one.
        row, position, target: int64 [scored], the token `target` after `position` of context `row`.
        choice: int64 [scored], which choice (all questions' in a row) it is a token of.
        weight: float64 [scored], one over the tokens of that choice.
        question: int64 [choices], whose they are.
        answers: int64 [questions], place of the right one among all choices.
    """

    rows: list[np.ndarray]
    row: np.ndarray
    position: np.ndarray
    target: np.ndarray
    choice: np.ndarray
    weight: np.ndarray
    question: np.ndarray
    answers: np.ndarray

    def right(self, log_p: np.ndarray) -> np.ndarray:
        """Which questions are answered rightly, bool [questions], by the mean log-probability of each choice [choices]."""
        best = np.full(len(self.answers), -np.inf)
        np.maximum.at(best, self.question, log_p)
        mine = log_p[self.answers]
        ties = np.bincount(self.question, log_p == best[self.question], minlength=len(best))
        return (mine == best) & (ties == 1)


def ask(questions: Questions, encode: Encode, bos_id: int, context: int, letters: bool) -> Asked:
    """Questions as contexts: BOS, the end of the prompt where it is too long, and all but the last token of a choice."""
    rows: dict[tuple[int, ...], int] = {}
    scored: list[tuple[int, int, int, int, float]] = []
    owners: list[int] = []
    answers: list[int] = []
    for number, question in enumerate(questions.items):
        text, choices = prompt(question, letters)
        ids = list(encode(text))
        answers.append(len(owners) + question.answer)
        for one in choices:
            tokens = list(encode(one))[: context // 2]
            begun = [bos_id, *ids[-(context - len(tokens)) :]]
            place = rows.setdefault((*begun, *tokens[:-1]), len(rows))
            first = len(begun) - 1
            scored += [(place, first + step, token, len(owners), 1 / len(tokens)) for step, token in enumerate(tokens)]
            owners.append(number)
    row, position, target, choice, weight = (np.array(column) for column in zip(*scored, strict=True))
    found = [np.array(one, np.int64) for one in rows]
    return Asked(found, row, position, target, choice, weight, np.array(owners), np.array(answers))
