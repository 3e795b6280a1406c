"""Tasks that must not enter a training corpus, found by the names that instruction sets give them."""

import re
from functools import lru_cache

PROBE_TASKS = ("sst2", "cola", "ag_news", "yelp")
TASK_COLUMNS = ("_task_name", "task_name", "task", "dataset", "source", "subset")
_ALIASES = {
    "sst2": ("sst", "sentimenttreebank"),
    "cola": ("linguisticacceptability",),
    "yelp": ("yelppolarity", "yelpreview", "yelpreviews"),
}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@lru_cache(maxsize=4096)
def names_one_of(name: str, left_out: tuple[str, ...]) -> str | None:
    """Which of the tasks left out a task's name stands for, None for none; an address of a page names no task.

    A name is cut into words and numbers; it stands for a task when some of them in a row spell the task's name or an
    alias of it: `glue/sst2:2.0.0`, `task363_sst2_polarity_classification` and `SST-2` are all `sst2`.
    """
    if "://" in name or name.startswith("www."):
        return None
    words = [word.lower() for word in _WORD.findall(name)]
    runs = {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
    runs.add("".join(words))
    for task in left_out:
        spelt = "".join(word.lower() for word in _WORD.findall(task))
        if runs & {spelt, *_ALIASES.get(spelt, ())}:
            return task
    return None
