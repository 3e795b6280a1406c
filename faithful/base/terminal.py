"""The terminal as it is: text of others cannot steer it, a reader that is gone stops no work, Ctrl-C is one sentence.

Imports nothing heavy: it is made ready before anything else is imported.
"""

import contextlib
import errno
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO, cast

STOPPED = "Stopped. What is finished is kept; run the same command again to go on."
SHOW_CURSOR = "\x1b[?25h"
ADDRESSES, DATA, PER_CORE = 1_300 << 20, 320 << 20, 84 << 20
"""Bytes of addresses and of data that all libraries take while they load, and what OpenBLAS takes more for each core."""
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""Control characters but newline and tab, what turns the direction of text, what nobody can see, halves of characters."""
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|[0-9]*[A-GJK]|\?25[hl])|\r")
"""What rich writes to colour text, to draw a bar again and to hide the cursor."""


def plain(text: str) -> str:
    """Text with every character that steers a terminal, or hides or turns what is read, as its escape (`\\x1b`).

    For whatever comes from elsewhere: names of files, corpora and SAEs, samples, answers of the Hub.
    """
    return UNSAFE.sub(_escape, text)


def in_json(text: str) -> str:
    """A JSON text with the same characters as JSON's own escapes: its value is the same."""
    return UNSAFE.sub(_json_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class Output:
    """A stream of text that never raises: whatever cannot be written is dropped, and so is all that comes after it.

    Of control characters only those pass that rich uses; `plain` has done the same for what we say, this is for libraries.

    Args:
        stream: what it writes to.

    Attributes:
        lost: why something could not be written, None while all was.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write, as far as anybody reads."""
        parts, done = [], 0
        for found in OURS.finditer(text):
            parts += [plain(text[done : found.start()]), found[0]]
            done = found.end()
        self._attempt(lambda: self._stream.write("".join([*parts, plain(text[done:])])))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, as far as anybody reads."""
        self._attempt(self._stream.flush)

    def _attempt(self, act: Callable[[], Any]) -> None:
        if self.lost is not None:
            return
        try:
            act()
        except OSError as error:
            self.lost = error
            with contextlib.suppress(OSError, ValueError):  # what is still in its buffer goes nowhere, at the end too
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
        except ValueError:
            self.lost = OSError(errno.EBADF, os.strerror(errno.EBADF))  # somebody closed it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Interrupts:
    """What Ctrl-C does: it raises KeyboardInterrupt, once. While modules load, or a second time, it ends the process at
    once, as every write is whole or absent: an import that is cut short is told of by traces that no user can mend."""

    def __init__(self) -> None:
        self.seen = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.seen or _is_importing(frame):
            leave()
        self.seen = True
        raise KeyboardInterrupt

    def unraisable(self, found: Any) -> None:
        """A KeyboardInterrupt that Python cannot pass on, because it came in a destructor or a callback."""
        if isinstance(found.exc_value, KeyboardInterrupt):
            leave()
        sys.__unraisablehook__(found)


def is_stopped() -> bool:
    """Whether Ctrl-C has come: what fails then fails of it, since compiled code may make any error of a KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(handler, _Interrupts) and handler.seen


def leave() -> None:
    """End the process at once, with a sentence and exit code 130."""
    with contextlib.suppress(OSError):
        shown = SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{shown}{STOPPED}\n".encode())
    os._exit(130)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def run(start: Callable[[], Any]) -> None:
    """Make the terminal ready, call the command line, and end the process with its exit code.

    Args:
        start: what imports and calls it; ends with SystemExit.
    """
    interrupts = _Interrupts()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts)
        sys.unraisablehook = interrupts.unraisable
    open_streams()
    code: Any = 0
    try:
        refuse_little_memory()
        start()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        leave()
    except Exception:
        if is_stopped():
            leave()
        raise
    interrupts.seen = True  # nothing is left to be stopped: a Ctrl-C now may end it at once
    sys.stdout.flush()
    lost = getattr(sys.stdout, "lost", None)
    if lost is not None and lost.errno not in (errno.EPIPE, errno.EIO, errno.EBADF) and not code:
        sys.stderr.write(f"Error: the output cannot be written ({lost.strerror}); all else was done.\n")
        code = 2
    sys.exit(code)


def refuse_little_memory() -> None:
    """End with a sentence where a limit does not let the libraries load: below one OpenBLAS may wait for memory for ever, and
    polars crash, while they are imported, so that nobody could say it then. Help and version load none.

    Raises:
        SystemExit: with code 2.
    """
    if {"-h", "--help", "--version"} & set(sys.argv):
        return
    with contextlib.suppress(ImportError):  # there are no such limits on Windows
        import resource

        for limit, flag, fixed in ((resource.RLIMIT_AS, "-v", ADDRESSES), (resource.RLIMIT_DATA, "-d", DATA)):
            needed = fixed + PER_CORE * min(os.cpu_count() or 1, 64)
            allowed = resource.getrlimit(limit)[0]
            if allowed != resource.RLIM_INFINITY and allowed < needed:
                sys.stderr.write(
                    f"Error: This process may have {allowed >> 20:,} MiB of memory (ulimit {flag}), and the libraries need"
                    f" about {needed >> 20:,} to load; lift the limit.\n"
                )
                raise SystemExit(2)


def open_streams() -> None:
    """Give the process its three streams, and what libraries log no say over the terminal; a process calls it once.

    Where the caller closed a stream nothing else may get its number.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name) or open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, Output(stream)))
    logging.setLogRecordFactory(_plain_record)


def _plain_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """What a library logs, which may be what a server answered."""
    record = logging.LogRecord(*args, **kwargs)
    with contextlib.suppress(Exception):  # a message that does not fit its arguments is logging's own to tell
        record.msg, record.args = plain(record.getMessage()), None
    return record
