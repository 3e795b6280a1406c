"""The one error type for what a user can mend, and the words for what the machine does not give."""

import re

NO_MEMORY = re.compile(
    r"can(?:'t|not) allocate memory|not enough memory|out of memory|bad_alloc|failed to map segment|can't start new thread"
    r"|returned NULL without setting an exception|error return without exception set",
    re.IGNORECASE,
)
CLUTTER = re.compile(
    r"^\d+ validation errors? for .*$|^\s*For further information visit .*$|\[type=\w+, input_value=.*\]\s*$|\x1b\[[0-9;]*m",
    re.MULTILINE,
)
LONGEST = 300


class FaithfulError(Exception):
    """One sentence that says what is wrong and what to do; the command line prints it and exits with 2."""


def sentence_of(error: BaseException) -> str | None:
    """The sentence for an error that a user can mend, whoever raised it; None for a fault in a program."""
    text = " ".join(str(error).split())
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if isinstance(error, FaithfulError):
        return str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, ImportError | OSError | RuntimeError | SystemError) and NO_MEMORY.search(text)
    ):
        return "The memory ran out; end other programs or lift the limit (ulimit -v), or ask for less at a time."
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        return f"{about}{error.strerror or first}; mend that and run the same command again."
    if isinstance(error, RuntimeError) and "home directory" in text:
        return "There is no home folder here; set HOME, or write the whole path in place of ~."
    return None


def one_line(error: BaseException) -> str:
    """What an error of a library says, as one line without its full stop, at most 300 characters; else the name of its type.

    All its lines count: the first one of a validation error only says how many there are. What pydantic adds (that count,
    the input, an address) and colours are left out.
    """
    text = " ".join(CLUTTER.sub("", str(error)).split())
    if len(text) > LONGEST:
        end = text.rfind(" ", 0, LONGEST)
        text = text[: end if end > 0 else LONGEST] + " …"
    return text.rstrip(".:") or type(error).__name__
