"""External text: where a comparison corpus comes from, and its documents as a repeatable stream of rows."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.base.packages import package_files, package_root, package_version
from faithful.base.suggest import did_you_mean
from faithful.hub.errors import PAUSES, with_retries
from faithful.store.corpus import MANIFEST
from generation.files.local_files import (
    PACKED,
    builder_of,
    choose_split,
    find_files,
    is_saved,
    passed_over,
    refuse_undecodable,
    saved_files,
    saved_splits,
)
from generation.files.reader import Reader
from generation.files.templates import WIKITEXT, choose, is_missing, renderer
from generation.files.text_files import TextFiles
from generation.sources.datasets_readers import ScriptError, hub_revision, reading_fault
from generation.sources.held_out import choose_held_out
from generation.sources.rows import needed_columns, open_source
from generation.sources.samples import Wanted, find_columns, ids_column, refuse_ids_as_text
from generation.sources.source import UNITS, Source
from generation.sources.task_names import PROBE_TASKS, TASK_COLUMNS

EMBEDDED_SHARE = 1 / 4  # more than of other texts: the probe tasks are made of what is held out
_FIRST_ROWS = 32
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@cache
def _entries() -> dict[str, Source]:
    with (resources.files("generation.sources") / "sources.toml").open("rb") as file:
        entries = tomllib.load(file)["sources"]
    lists = ("data_files", "fallback", "columns", "leave_out", "held_out", "unverified")
    found = {}
    for name, entry in entries.items():
        values = entry | {key: tuple(entry[key]) for key in lists if key in entry}
        if values["kind"] == "embedded":
            package = Path(str(resources.files("faithful.embedded")))
            files = tuple(str(package / file) for file in values["data_files"])
            values |= {"data_files": files, "root": str(package), "builder": "json"}
        found[name] = Source(name=name, **values)
    return found


def catalog() -> list[Source]:
    """The comparison corpora known by name, not yet resolved (only some have a revision)."""
    return list(_entries().values())


def resolve_source(
    name: str,
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    columns: tuple[str, ...] | None = None,
    template: str | None = None,
    unit: str | None = None,
    leave_out: tuple[str, ...] | None = None,
    samples: Wanted | None = None,
    pauses: tuple[float, ...] = PAUSES,
) -> Source:
    """Find a source, pin it, and make sure that its rows can be read as asked, before any work starts.

    Args:
        name: name in the catalog, path of a file or folder, or Hub id (`org/name`).
        config, split, revision: of a Hub set; None takes the catalog's, else the only config, `train` and `main`. `split`
            also of a saved folder, and of a folder whose files say theirs in their names (see `local_files.choose_split`).
        columns: columns to read for the text.
        template: name or format string; see `generation.files.templates.choose` for what None means.
        unit: one of UNITS.
        leave_out: names of tasks to leave out, () for none; None leaves the probe tasks out where rows name tasks.
        samples: what is known of them where the rows are samples of a model.
        pauses: seconds to wait between attempts to reach the Hub.

    Raises:
        FaithfulError: nothing of that name, gated or missing, no such config, split, revision or column, options that
            do not fit, local files that are damaged, mixed or empty.
    """
    if unit is not None and unit not in UNITS:
        raise FaithfulError(f"'{unit}' is not a unit; choose document or passage.")
    entry = find_entry(name)
    hub = {"--config": config, "--split": split, "--revision": revision}
    reading = {"--column": columns, "--template": template, "--leave-out": leave_out}
    if samples:
        _refuse_options("A corpus of samples", {"--leave-out": leave_out, "--unit": unit})
        unit = "document"
    if entry and entry.kind != "hub" and samples:
        raise FaithfulError(f"{entry.name} holds no samples of a model; give files of them, or a set on the Hub.")
    if entry and entry.kind == "package":
        _refuse_options(entry.name, {**hub, **reading})
        return _choose_text(_resolve_packaged(replace(entry, unit=unit or entry.unit)), None, None, (), None, pauses)
    if entry and entry.kind != "hub":
        _refuse_options(entry.name, {**hub, **reading, **({"--unit": unit} if entry.kind == "noise" else {})})
        return _holding_out(_resolve_embedded(replace(entry, unit=unit or entry.unit)))
    path = Path(name).expanduser()
    if entry is None and path.exists():
        _refuse_options(str(path), {"--config": config, "--revision": revision})
        source = _local(path, split)
    elif entry is None and (not _HUB_ID.fullmatch(name) or name.startswith((".", "~")) or builder_of(path)):
        near = did_you_mean(path.name, [*(one.name for one in catalog()), *_beside(path)])
        raise FaithfulError(
            f"'{name}' is no name of the catalog, no file or folder here, and no Hub id (org/name); `faithful corpus"
            f" list` shows the catalog.{near}"
        )
    else:
        source = entry or Source(name=name.split("/")[-1], kind="hub", repo=name)
        if config and config != source.config:
            source = replace(source, data_files=(), fallback=())
        if split and split != source.split:
            if source.data_files:
                raise FaithfulError(
                    f"{source.name} is read from files of its split {source.split}, which are no {split}; leave --split out,"
                    " or fetch the files that are and give their paths."
                )
            source = replace(source, fallback=())
        source = replace(source, config=config or source.config, split=split or source.split or "train")
        source = _pin(source, revision or source.revision, pauses)
    source = _holding_out(replace(source, unit=unit or source.unit))
    return _choose_text(source, columns, template, leave_out, samples, pauses)


def _beside(path: Path) -> list[str]:
    """What lies where a path was looked for."""
    return [one.name for one in sorted(path.parent.iterdir())] if path.parent.is_dir() else []


def find_entry(name: str) -> Source | None:
    """The catalog's entry of a name or of a Hub id, None where it has none."""
    wanted = name.lower()
    return next((e for e in catalog() if wanted in (e.name.lower(), (e.repo or e.name).lower())), None)


def _refuse_options(where: str, options: Mapping[str, object]) -> None:
    stated = [option for option, value in options.items() if value is not None]
    if stated:
        raise FaithfulError(f"{where} takes no {' and no '.join(stated)}; leave that out.")


def _resolve_embedded(source: Source) -> Source:
    missing = [path for path in source.data_files if not Path(path).is_file()]
    if missing:
        raise FaithfulError(f"The snapshot {missing[0]} is not there; install the package again.")
    return replace(source, sha256=tuple(sha256_file(Path(path)) for path in source.data_files))


def _resolve_packaged(source: Source) -> Source:
    """A source inside a package, at the version that is installed.

    Raises:
        FaithfulError: the package is not here, or lacks a file; says how to install it.
    """
    package = str(source.package)
    files = [file for pattern in source.data_files for file in package_files(package, pattern, source.name)]
    return replace(
        source,
        version=package_version(package, source.name),
        data_files=tuple(map(str, files)),
        sha256=tuple(map(sha256_file, files)),
        root=str(package_root(package)),
        builder=builder_of(files[0]),
    )


def _holding_out(source: Source) -> Source:
    """The source with the texts that are held out, where it is cut into passages and its texts are known beforehand."""
    if source.unit != "passage":
        return replace(source, held_out=())
    if source.kind == "embedded" and not source.held_out:
        rows = [row for file in range(len(source.data_files)) for row in open_source(source).rows(file)]
        texts = {str(row["path"]): row["text"].encode() for row in rows}
        known = {name: (hashlib.sha256(text).hexdigest(), len(text)) for name, text in texts.items()}
        return replace(source, held_out=choose_held_out(known, EMBEDDED_SHARE))
    if source.kind == "files" and source.builder == "text":
        sizes = [Path(path).stat().st_size for path in source.data_files]
        known = dict(zip(source.file_names(), zip(source.sha256, sizes, strict=True), strict=True))
        return replace(source, held_out=choose_held_out(known))
    return source


def _local(path: Path, split: str | None) -> Source:
    """A file or a folder, its files found and hashed."""
    path = path.resolve()
    if (path / MANIFEST).exists():
        raise FaithfulError(
            f"{path} is a corpus already: use it as it is, or take a part of it with `faithful corpus subsample`."
        )
    root, name = (path, path.name) if path.is_dir() else (path.parent, _stem(path))
    not_read: list[Path] = []
    if (path / "dataset_dict.json").is_file() or is_saved(path):
        split = _saved_split(path, split)
        builder, files = "saved", saved_files(path / (split or ""))
    else:
        builder, files = find_files(path)
        not_read = passed_over(path) if path.is_dir() else []
        split, files = choose_split(path, files, split)
    refuse_undecodable(files)
    return Source(
        name=name,
        kind="files",
        unit="passage" if builder == "text" else "document",
        about=f"the split {split} of {name}" if split else "",
        split=split,
        data_files=tuple(map(str, files)),
        sha256=tuple(sha256_file(file) for file in files),
        root=str(root),
        builder=builder,
        remarks=_said_of(not_read, path),
    )


def _said_of(not_read: list[Path], root: Path) -> str:
    """What a card says of files that were passed over."""
    names = [file.relative_to(root).as_posix() for file in not_read]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"not read, since they describe the set or are a cache: {', '.join(names[:5])}{more}" if names else ""


def _stem(path: Path) -> str:
    """A file's name without the endings that say its type."""
    return (path.with_suffix("") if path.suffix.lower() in PACKED else path).stem


def _saved_split(folder: Path, split: str | None) -> str | None:
    """The split of a saved folder to read: the one stated, else `train`, else the only one; None where it has none."""
    if not (folder / "dataset_dict.json").is_file():
        _refuse_options(str(folder), {"--split": split})
        return None
    splits = saved_splits(folder)
    chosen = split or ("train" if "train" in splits or len(splits) != 1 else splits[0])
    if chosen not in splits:
        raise FaithfulError(f"{folder} has no split '{chosen}'; it has {', '.join(splits)}: choose with --split.")
    return str(chosen)


def _pin(source: Source, revision: str | None, pauses: tuple[float, ...]) -> Source:
    """The source at the commit that a revision stands for now."""
    repo = str(source.repo)
    sha, licence = with_retries(lambda: hub_revision(repo, revision), repo, pauses)
    return replace(source, revision=sha, licence=source.licence or licence)


def _choose_text(
    source: Source,
    columns: tuple[str, ...] | None,
    template: str | None,
    leave_out: tuple[str, ...] | None,
    samples: Wanted | None,
    pauses: tuple[float, ...],
) -> Source:
    """The source with its columns, template and tasks left out, checked against its first row."""
    where = source.repo or str(source.root if len(source.data_files) != 1 else source.data_files[0])
    try:
        reader = with_retries(lambda: open_source(source), where, pauses)
    except ScriptError:
        if not source.fallback:
            raise
        source = replace(source, data_files=source.fallback, builder="parquet")
        reader = with_retries(lambda: open_source(source), where, pauses)
    available = with_retries(lambda: _columns(reader, where), where, pauses)
    stated = columns is not None or template is not None
    if samples and samples.ids:
        _refuse_options("A column of token ids", {"--template": template})
        columns = (ids_column(available, columns, where),)
    else:
        columns, template = choose(
            available,
            columns if stated else source.columns or None,
            template if stated else source.template,
            where,
        )
    if samples:
        return _with_samples(
            replace(source, columns=columns, template=template), reader, samples, available, where, pauses
        )
    tasks = [name for name in TASK_COLUMNS if name not in columns]
    column = source.source_column or next((name for name in tasks if name in available), None)
    if column is None and isinstance(reader, TextFiles):
        column = reader.later_column(tasks)
        available = [*available, *([column] if column else [])]
    if column and column.split(".")[0] not in available:
        raise FaithfulError(
            f"{where} has no column '{column}' any more; it has {', '.join(available)}: give --revision."
        )
    if leave_out and not column:
        raise FaithfulError(f"{where} has no column that names tasks, so none can be left out; drop --leave-out.")
    if leave_out is None:
        leave_out = source.leave_out or (PROBE_TASKS if column and source.source_column is None else ())
    chosen = replace(source, columns=columns, template=template, source_column=column, leave_out=leave_out)
    needed = reader.select(needed_columns(chosen))
    _refuse_no_texts(chosen, with_retries(lambda: _first_rows(needed, where), where, pauses), where)
    return replace(chosen, parts=_division(reader, chosen))


def _with_samples(
    source: Source, reader: Reader, wanted: Wanted, available: list[str], where: str, pauses: tuple[float, ...]
) -> Source:
    """The source with what its columns say of its samples, checked against its first rows."""

    def every_row(columns: tuple[str, ...]) -> Iterator[Mapping[str, object]]:
        chosen = reader.select(columns)
        return chain.from_iterable(chosen.rows(file) for file in range(len(chosen.names)))

    first = with_retries(lambda: _first_rows(reader, where), where, pauses)
    try:
        samples = with_retries(lambda: find_columns(wanted, available, first[0], every_row, where), where, pauses)
    except Exception as error:
        raise reading_fault(error, where) from error
    chosen = replace(source, samples=samples)
    reader.select(needed_columns(chosen))
    if not wanted.ids:
        _refuse_no_texts(chosen, first, where)
    return replace(chosen, parts=_division(reader, chosen))


def _refuse_no_texts(source: Source, rows: list[Mapping[str, object]], where: str) -> None:
    """Refuse a column of numbers, or of lists of them written as text, and a template that cannot be filled."""
    text = renderer(source.template, source.columns)
    for row in rows:
        value = row.get(source.columns[0])
        if source.template is None and isinstance(value, bool | int | float):
            _refuse_numbers(value, source.columns[0], where)
        for column in source.columns:
            refuse_ids_as_text(row.get(column), column, where)
        text(row)


def _division(reader: Reader, source: Source) -> str | None:
    """How to cut the files of a source that has fewer than are read in turn; its articles lie across lines, so never."""
    if source.template == WIKITEXT or len(reader.names) >= source.open_files:
        return None
    return reader.division(source.unit)


def _columns(reader: Reader, where: str) -> list[str]:
    try:
        return reader.columns()
    except Exception as error:
        raise reading_fault(error, where) from error


def _refuse_numbers(value: Any, column: str, where: str) -> None:
    if not is_missing(value):
        raise FaithfulError(
            f"The column '{column}' of {where} holds numbers, such as {value}, and no texts; choose another with --column."
        )


def _first_rows(reader: Reader, where: str) -> list[Mapping[str, object]]:
    """Some rows of the first file that has any, of a text its first piece, to see that rows can be read and have texts.

    Raises:
        FaithfulError: they cannot, or there are none.
    """
    try:
        for file in range(len(reader.names)):
            found = reader.rows(file, beginning=True) if isinstance(reader, TextFiles) else reader.rows(file)
            if rows := list(islice(found, _FIRST_ROWS)):
                return rows
    except Exception as error:
        raise reading_fault(error, where) from error
    raise FaithfulError(f"{where} holds no rows; choose another split or other files.")
