"""Tasks that must not enter a training corpus, found by the names that instruction sets give them."""

import re
import unicodedata
from functools import lru_cache

PROBE_TASKS = ("sst2", "cola", "ag_news", "yelp")
TASK_COLUMNS = (
    "_task_name", "task_name", "task", "dataset", "source", "subset", "dataset_name", "source_dataset",
    "original_dataset", "data_source",
)  # fmt: skip
_ALIASES = {
    "sst2": ("sst", "sentimenttreebank"),
    "cola": ("linguisticacceptability",),
    "agnews": ("agsnews",),
    "yelp": ("yelppolarity", "yelpreview", "yelpreviews"),
}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_POSSESSIVE = re.compile(r"['’‘`´ʼ＇]\s?s\b", re.IGNORECASE)
_PAGE = re.compile(r"(https?://|www\.)", re.IGNORECASE)
_HUB_PAGE = re.compile(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/datasets/", re.IGNORECASE)
_LONG = 6


@lru_cache(maxsize=4096)
def names_one_of(name: str, left_out: tuple[str, ...]) -> str | None:
    """Which of the tasks left out a task's name stands for, None for none; an address of a page names no task.

    A name is cut into words and numbers; it stands for a task when some of them in a row spell the task's name or an
    alias of it, in the plural too: `glue/sst2:2.0.0`, `task363_sst2_polarity_classification` and `SST-2` are all `sst2`,
    `AG's News`, `ag-s-news` and `AG NEWS` all `ag_news`. A word may go on after a name of six letters (`agnewstopics`).
    A set's page on the Hub stands for the set.
    """
    page = _HUB_PAGE.match(name)
    if page:
        name = name[page.end() :]
    elif _PAGE.match(name):
        return None
    words = _words(name)
    runs = {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
    runs |= {run.removesuffix("s") for run in runs}
    for task in left_out:
        spelt = "".join(_words(task))
        names = {spelt, *_ALIASES.get(spelt, ())}
        if runs & names or any(word.startswith(one) for word in words for one in names if len(one) >= _LONG):
            return task
    return None


def _words(name: str) -> list[str]:
    """Words and numbers of a name in small letters: without accents, whatever the width of its letters, without `'s`."""
    plain = unicodedata.normalize("NFKD", _POSSESSIVE.sub("", name))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return [word.lower() for word in _WORD.findall(letters) if word.lower() != "s"]
