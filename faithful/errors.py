"""The one error type for what a user can mend, and the words for what the machine does not give."""

import re

NO_MEMORY = re.compile(
    r"can(?:'t|not) allocate memory|not enough memory|out of memory|bad_alloc|failed to map segment|can't start new thread",
    re.IGNORECASE,
)


class FaithfulError(Exception):
    """One sentence that says what is wrong and what to do; the command line prints it and exits with 2."""


def sentence_of(error: BaseException) -> str | None:
    """The sentence for an error that a user can mend, whoever raised it; None for a fault in a program."""
    text = " ".join(str(error).split())
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if isinstance(error, FaithfulError):
        return str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, ImportError | OSError | RuntimeError) and NO_MEMORY.search(text)
    ):
        return "The memory ran out; end other programs or lift the limit (ulimit -v), or ask for less at a time."
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        return f"{about}{error.strerror or first}; mend that and run the same command again."
    if isinstance(error, RuntimeError) and "home directory" in text:
        return "There is no home folder here; set HOME, or write the whole path in place of ~."
    return None
