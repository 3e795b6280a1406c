"""Files and folders of text on disk: which of their files hold the data, of which type, and of which split."""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from faithful.base.errors import FaithfulError

BUILDERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
PACKED = (".gz", ".zst")
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
STATE = "state.json"
_INFO = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "config.json", "croissant.json")
_ABOUT = re.compile(
    r"(licen[cs]es?|copying|copyright|notices?|readme|citation|authors|contributors|contributing|changelog"
    r"|code_of_conduct|requirements|third[-_]party[-_]notices?|checksums?|md5sums?|sha\d*sums?)([-_. ].*)?\.(txt|json)",
    re.IGNORECASE,
)
_CACHE = re.compile(r"(cache-[0-9a-f]+.*|tmp\w{8,})\.arrow")
_FOREIGN_FOLDERS = ("_delta_log", "_temporary")


def builder_of(path: Path) -> str | None:
    """Type of a file by its name: text, json, csv, parquet or arrow; None for any other."""
    found = BUILDERS.get(builder_ending(path))
    return found if found in ("text", "json", "csv") or path.suffix.lower() not in PACKED else None


def builder_ending(path: PurePath) -> str:
    """The ending that says a file's type, in small letters, "" without one: `.json` of `a.JSON.gz`."""
    suffixes = ["", *(suffix.lower() for suffix in path.suffixes)]
    return suffixes[-2] if suffixes[-1] in PACKED else suffixes[-1]


def find_files(path: Path) -> tuple[str, list[Path]]:
    """Type and files of a file or a folder. Passed over are hidden files, those of no known type, and `passed_over`.

    Raises:
        FaithfulError: an unknown type, a folder without data, or several types in one folder.
    """
    known = ", ".join(BUILDERS)
    if path.is_file():
        builder = builder_of(path)
        if builder is None:
            raise FaithfulError(f"{path} is of no known type; give one of {known} (text types also as .gz or .zst).")
        return builder, [path]
    not_data = set(passed_over(path))
    by_type: dict[str, list[Path]] = {}
    for file in _of_known_type(path):
        if file not in not_data:
            by_type.setdefault(str(builder_of(file)), []).append(file)
    if not by_type and not_data:
        raise FaithfulError(
            f"{path} holds nothing but {', '.join(sorted({file.name for file in not_data})[:3])}, which describe a data set"
            " or are a cache; name the file itself to read it all the same."
        )
    if not by_type:
        raise FaithfulError(f"{path} holds no file of a known type ({known}); check the folder.")
    if len(by_type) > 1:
        counts = ", ".join(f"{len(files)} {builder} ({files[0].name} …)" for builder, files in sorted(by_type.items()))
        raise FaithfulError(f"{path} mixes types: {counts}; put those of one type into a folder of their own.")
    return next(iter(by_type.items()))


def passed_over(folder: Path) -> list[Path]:
    """The files of a folder that have the endings of data and are none, sorted.

    They are what describes a data set (`dataset_infos.json` and its like), licences, notices and read-me files as text, and
    the caches of the `datasets` library.
    """
    return [file for file in _of_known_type(folder) if _describes(file) or _is_cache(file)]


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote a folder as one split; a file of data may be called state.json too."""
    return (folder / STATE).is_file() and ((folder / "dataset_info.json").is_file() or any(folder.glob("*.arrow")))


def saved_files(folder: Path) -> list[Path]:
    """The files of a split written by `save_to_disk`: those that its state.json names, and what describes them.

    Raises:
        FaithfulError: state.json cannot be read.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        named = [folder / _plain_name(entry["filename"]) for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FaithfulError(
            f"{folder / STATE} cannot be read ({type(error).__name__}); write the set again."
        ) from error
    described = [folder / name for name in (STATE, "dataset_info.json") if (folder / name).is_file()]
    missing = [file for file in named if not file.is_file()]
    if missing:
        raise FaithfulError(f"{folder} lacks {missing[0].name}, which its {STATE} names; write the set again.")
    return sorted({*named, *described})


def _of_known_type(folder: Path) -> list[Path]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and builder_of(file))
    return [file for file in files if not any(map(_is_hidden, file.relative_to(folder).parts))]


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "__")) or part in _FOREIGN_FOLDERS


def _describes(file: Path) -> bool:
    if file.name == STATE:
        return is_saved(file.parent)
    return file.name in _INFO or _ABOUT.fullmatch(file.name) is not None


def _is_cache(file: Path) -> bool:
    """Whether the `datasets` library left a file behind: a cache by its name, or none of those that state.json names."""
    if file.suffix != ".arrow":
        return False
    if is_saved(file.parent):
        return file not in saved_files(file.parent)
    return _CACHE.fullmatch(file.name) is not None


def choose_split(path: Path, files: list[Path], split: str | None) -> tuple[str | None, list[Path]]:
    """The files of one split, and which it is; all of them and None where nothing was to choose.

    As `datasets` has it, a word of a file's name, or of a folder's on the way to it, names the split (`test-00000.parquet`,
    `dev/a.jsonl`); files that name none belong to `train`.

    Args:
        path: the file or folder that they were found in.
        files: what `find_files` found there.
        split: which to take; None takes `train` where there are several.

    Raises:
        FaithfulError: there is no such split.
    """
    if path.is_file():
        if split is not None:
            raise FaithfulError(f"{path} takes no --split; leave that out.")
        return None, files
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_split_named(file.relative_to(path)), []).append(file)
    if split is None and len(found) == 1:
        return None, files
    chosen = next((name for name, words in SPLITS.items() if split in words), split or "train")
    if chosen not in found:
        raise FaithfulError(f"{path} has no split '{chosen}'; it has {', '.join(found)}: choose with --split.")
    return chosen, found[chosen]


def _split_named(path: Path) -> str:
    """The split that the first telling word of a path names."""
    words = re.split(r"[\W_\d]+", path.as_posix().lower())
    return next((split for word in words for split, names in SPLITS.items() if word in names), "train")


def refuse_undecodable(paths: Iterable[Path]) -> None:
    """Refuse files whose names are not UTF-8: they cannot stand in ids.

    Raises:
        FaithfulError: one is not; names it.
    """
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            raise FaithfulError(f"The name of {shown} is not UTF-8; rename it.") from None


def refuse_doubled(path: Path, columns: list[str]) -> None:
    """Refuse a table with two columns of one name: a row would hold one of them, and the texts of the other were lost.

    Columns without a name, as spreadsheets leave behind the last, cannot be asked for.

    Raises:
        FaithfulError: there are such; says how they are called.
    """
    doubled = next((name for name in columns if name.strip() and columns.count(name) > 1), None)
    if doubled is not None:
        raise FaithfulError(f"{path} has several columns called '{doubled}'; rename them, so that one can be chosen.")


def saved_splits(folder: Path) -> list[str]:
    """The splits of a folder that `save_to_disk` wrote, of which dataset_dict.json tells.

    Raises:
        FaithfulError: that file cannot be read.
    """
    path = folder / "dataset_dict.json"
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
        splits = [_plain_name(name) for name in splits]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FaithfulError(f"{path} cannot be read ({type(error).__name__}); write the set again.") from error
    if not splits:
        raise FaithfulError(f"{path} names no splits; write the set again.")
    return splits


def _plain_name(name: str) -> str:
    """A name that stays inside its folder."""
    if name in (".", "..") or Path(name).name != name:
        raise ValueError(f"{name} is no plain name")
    return name
