"""Sets read through the `datasets` library: streamed from the Hub, and folders of `save_to_disk`."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from faithful.base.errors import FaithfulError
from faithful.hub.errors import fault_here, first_line, gated, is_gated, is_transient, refused
from faithful.hub.licences import stated_licence
from faithful.hub.reachable import hub_problem
from faithful.hub.set_files import refuse_foreign_files, refuse_other_files
from generation.files.local_files import builder_ending
from generation.files.parts import ROW_GROUPS, FilePart, whole_files
from generation.files.text_files import unpack_zstandard

PARTS = 64
_READABLE = ("parquet", "json", "csv", "text", "arrow")
_BATCH = 256
_TABLE = 1024
_BUFFER = 1 << 22


class Stream:
    """Rows of a streamed set, file by file.

    Args:
        builder: of the `datasets` library.
        split: name of the split.
        names: what its files are called in document ids.
    """

    def __init__(self, builder: Any, split: str, names: list[str]) -> None:
        self.names = names
        self._builder, self._split = builder, split
        self._is_tsv = any(builder_ending(PurePosixPath(name)) == ".tsv" for name in names)
        streamed = builder.as_streaming_dataset()[split]
        # pictures and sounds are not decoded: a row may name any address for theirs
        self._dataset = streamed.decode(False) if streamed.features else streamed

    @property
    def features(self) -> dict[str, Any]:
        """What the library knows of each column, such as the names of its classes; empty where it knows nothing."""
        return dict(self._dataset.features or {})

    def columns(self) -> list[str]:
        """Names of the columns; where the files do not state them, those of the first row there is.

        Raises:
            FaithfulError: there are no rows.
        """
        names = self._dataset.column_names
        if names is None:
            row = next((row for file in range(len(self.names)) for row in self.rows(file)), None)
            if row is None:
                raise FaithfulError(f"{self.names[0]} holds no rows; choose another split or file.")
            names = list(row)
        return list(names)

    def select(self, columns: tuple[str, ...]) -> "Stream":
        """The same set with these columns only; of Parquet files nothing else is fetched."""
        if _type_of(self._builder) == "parquet":
            self._builder.config.columns = list(columns)
        chosen = Stream(self._builder, self._split, self.names)
        chosen._dataset = chosen._dataset.select_columns(list(columns))
        return chosen

    def rows(self, file: int, skip: int = 0) -> Iterator[Mapping[str, Any]]:
        """Rows of a file after the first `skip`, which are read but not kept."""
        for batch in self._dataset.shard(len(self.names), file).iter(batch_size=_BATCH):
            size = len(next(iter(batch.values())))
            rows = map(self._whole, _rows_of(batch))
            yield from islice(rows, min(skip, size), None)
            skip = max(skip - size, 0)

    def _whole(self, row: Mapping[str, object]) -> Mapping[str, object]:
        """The row, unless it is several lines of a TSV that stray quotation marks joined."""
        if self._is_tsv and any(isinstance(value, str) and "\t" in value and "\n" in value for value in row.values()):
            joined = next(value for value in row.values() if isinstance(value, str) and "\t" in value and "\n" in value)
            raise FaithfulError(
                f"A field of a TSV file holds tabs and line breaks, so that a quotation mark seems to have joined several"
                f" rows: '{joined[:80]}' …; fetch the file and give its path, where such marks are read as text."
            )
        return row

    def division(self, unit: str) -> str | None:
        """Parquet files are cut into their row groups; no other file can be entered in the middle."""
        return ROW_GROUPS if _type_of(self._builder) == "parquet" else None

    def parts(self) -> list[FilePart]:
        """The row groups of every file; reads the files' ends, where they are listed."""
        import pyarrow.parquet as pq

        found = []
        for name, file in zip(self.names, map(str, self._builder.config.data_files[self._split]), strict=True):
            with _opened(file) as content:
                metadata = pq.read_metadata(content)
            first = 0
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                found += [FilePart(name, first, partial(self._row_group, file, metadata, group))] if rows else []
                first += rows
        return found

    def _row_group(self, file: str, metadata: Any, group: int, skip: int) -> Iterator[Mapping[str, object]]:
        """Rows of a row group after the first `skip`, typed as the rest of the set is; only its own bytes are fetched."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        from datasets.table import table_cast

        features = self._dataset.features
        with _opened(file) as content:
            parquet = pq.ParquetFile(content, metadata=metadata, buffer_size=_BUFFER, pre_buffer=False)
            for batch in parquet.iter_batches(_TABLE, row_groups=[group], columns=list(features)):
                if skip < batch.num_rows:
                    table = table_cast(pa.Table.from_batches([batch.slice(skip)]), features.arrow_schema)
                    yield from table.to_pylist()
                skip = max(skip - batch.num_rows, 0)


class Saved:
    """Rows of a folder written by `save_to_disk`, as up to `PARTS` equal parts.

    Attributes:
        names: what the parts are called in document ids.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.names = [f"part-{part:02d}" for part in range(min(PARTS, len(dataset)))]

    @property
    def features(self) -> dict[str, Any]:
        """What the library knows of each column, such as the names of its classes; empty where it knows nothing."""
        return dict(self._dataset.features or {})

    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._dataset.column_names)

    def select(self, columns: tuple[str, ...]) -> "Saved":
        """The same set with these columns only."""
        return Saved(self._dataset.select_columns(list(columns)))

    def rows(self, file: int, skip: int = 0) -> Iterator[Mapping[str, Any]]:
        """Rows of a part after the first `skip`, as they are stored: pictures and sounds are not decoded."""
        part = self._dataset.shard(len(self.names), file, contiguous=True)
        if skip < len(part):
            for table in part.select(range(skip, len(part))).with_format("arrow").iter(_TABLE):
                yield from table.to_pylist()

    def division(self, unit: str) -> str | None:
        """None: they are parts already."""
        return None

    def parts(self) -> list[FilePart]:
        """The parts."""
        return whole_files(self)


def open_saved(folder: Path) -> Saved:
    """One split written by `save_to_disk`.

    Raises:
        FaithfulError: it cannot be read, or is empty.
    """
    library = _library()
    try:
        dataset = library.load_from_disk(str(folder))
    except Exception as error:
        raise FaithfulError(f"{folder} cannot be read ({first_line(error)}); write it again.") from error
    if not len(dataset):
        raise FaithfulError(f"{folder} holds no rows; check how it was written.")
    return Saved(dataset)


def open_hub(
    repo: str, config: str | None, split: str, revision: str, data_files: tuple[str, ...], builder: str | None
) -> Stream:
    """A split of a Hub set at a revision, as a stream. Connection errors pass through: see `with_retries`.

    Args:
        repo: `org/name`.
        config: name of the configuration, None for the only one.
        split: name of the split.
        revision: commit sha.
        data_files: patterns inside the repository instead of its own list of files, () for that list.
        builder: type of those files where the repository's own metadata must not be asked, else None.

    Raises:
        FaithfulError: gated or missing, no such config or split, a loading script, files outside the repository, or not a
            set of texts.
        ScriptError: the set is loaded by a script of its own, which the library refuses.
    """
    library = _library()
    try:
        refuse_foreign_files(repo, revision)
        if builder:
            patterns = [f"hf://datasets/{repo}@{revision}/{pattern}" for pattern in data_files]
            made = library.load_dataset_builder(builder, data_files={split: patterns})
        else:
            files = {split: list(data_files)} if data_files else None
            made = library.load_dataset_builder(repo, name=config, revision=revision, data_files=files)
        kind = _type_of(made)
        if kind == "cache":
            raise ConnectionError(f"the files of {repo} cannot be listed")
        if kind not in _READABLE:
            raise FaithfulError(f"{repo} holds files of the type {kind}, not texts in columns; choose another set.")
        refuse_other_files(repo, revision, (str(file) for found in made.config.data_files.values() for file in found))
        if split not in made.config.data_files:
            splits = ", ".join(map(str, made.config.data_files))
            raise FaithfulError(f"{repo} has no split '{split}'; it has {splits}: choose with --split.")
        names = [_path_in(str(file), repo, revision) for file in made.config.data_files[split]]
        return Stream(_small_tables(made), split, names)
    except Exception as error:
        raise _hub_fault(error, repo, config, revision) from error


class ScriptError(FaithfulError):
    """A set is loaded by a Python script of its own."""


def require_hub(repo: str) -> None:
    """Make sure that the Hub answers, which is asked once and quickly.

    Raises:
        FaithfulError: there is no way to it.
    """
    reason = hub_problem()
    if reason is not None:
        raise FaithfulError(
            f"Cannot reach the Hub for '{repo}' ({reason}); connect, or give local files or an embedded set (stdlib,"
            " prose, noise)."
        )


def hub_revision(repo: str, revision: str | None) -> tuple[str, str | None]:
    """Commit sha of a revision (None is `main`) of a Hub set, and its licence tag where it states one.

    Raises:
        FaithfulError: gated or missing, no such revision, no way to the Hub.
    """
    from huggingface_hub import HfApi

    require_hub(repo)
    try:
        info = HfApi().dataset_info(repo, revision=revision)
    except Exception as error:
        raise _hub_fault(error, repo, None, revision) from error
    return str(info.sha), stated_licence(info.card_data)


def reading_fault(error: Exception, what: str) -> Exception:
    """The sentence for what went wrong while rows were read; a broken connection stays as it is."""
    if isinstance(error, FaithfulError) or is_transient(error):
        return error
    if is_gated(error):
        return gated(what)
    if here := fault_here(error):
        return here
    if isinstance(error, UnicodeDecodeError):
        return FaithfulError(
            f"{what} is not UTF-8 text ({error.reason}); it has to be converted before it can be read."
        )
    if _is_drift(error):
        return FaithfulError(
            f"{what} cannot be read on: its columns or their types are not those that the set began with"
            f" ({first_line(error)}); choose another --config, or fetch the files and give their paths."
        )
    return FaithfulError(
        f"{what} cannot be read ({first_line(error)}): it is damaged, cut off or no longer what it was."
    )


def _is_drift(error: Exception) -> bool:
    """Whether files of a set disagree in what their columns are."""
    from datasets.exceptions import DatasetGenerationCastError
    from datasets.table import CastError

    if isinstance(error, CastError | DatasetGenerationCastError):
        return True
    said = str(error)
    return "changed from" in said or "Couldn't cast" in said or "Schema at index" in said


def _library() -> Any:
    """The `datasets` library, its bars and its log silenced: what matters reaches the user as a sentence.

    Zstandard files are read to their end: what fsspec opens by default stops after the first frame.
    """
    import datasets
    from fsspec.compression import compr, register_compression

    if compr.get("zstd") is not _zstandard:
        register_compression("zstd", _zstandard, "zst", force=True)
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    return datasets


def _zstandard(packed: Any, mode: str = "rb", **_: Any) -> Any:
    """An opener for fsspec."""
    if "r" in mode:
        return unpack_zstandard(packed)
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(packed, mode="w"), "zstd")


def _rows_of(batch: dict[str, list[Any]]) -> Iterator[Mapping[str, object]]:
    """Rows of a batch of columns."""
    return (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))


def _opened(file: str) -> BinaryIO:
    """A file here or on the Hub, opened to be read in pieces: what is asked for is fetched, and nothing ahead of it."""
    if "://" not in file:
        return Path(file).open("rb")
    from fsspec.core import url_to_fs

    system, path = url_to_fs(file)
    return cast(BinaryIO, system.open(path, "rb", cache_type="none"))


def _type_of(builder: Any) -> str:
    """Which of the library's builders it is: parquet, json … or cache, for what it has prepared earlier."""
    return type(builder).__module__.split(".")[-1]


def _small_tables(builder: Any) -> Any:
    """The builder, its Parquet files in tables of a fixed size, whatever their row groups are."""
    if _type_of(builder) == "parquet":
        builder.config.batch_size = _TABLE
    return builder


def _path_in(file: str, repo: str, revision: str) -> str:
    """A file's path inside its repository."""
    return file.removeprefix(f"hf://datasets/{repo}@{revision}/") if "://" in file else PurePosixPath(file).name


def _hub_fault(error: Exception, repo: str, config: str | None, revision: str | None) -> Exception:
    """The sentence for what the Hub or the library said; a broken connection stays as it is."""
    if isinstance(error, FaithfulError) or is_transient(error):
        return error
    if found := refused(error, repo, revision):
        return found
    text = str(error)
    if is_gated(error):
        return gated(repo)
    if here := fault_here(error):
        return here
    if "Dataset scripts are no longer supported" in text:
        return ScriptError(
            f"{repo} is loaded by a script, which `datasets` refuses; name a revision without one, such as --revision"
            " refs/convert/parquet."
        )
    if "Config name is missing" in text or "BuilderConfig" in text:
        names = text[text.find("[") : text.find("]") + 1].strip("[]").replace("'", "")
        stated = f"no config '{config}'" if config else "several configs"
        return FaithfulError(f"{repo} has {stated}; choose one with --config: {names}.")
    return FaithfulError(
        f"{repo} cannot be opened ({first_line(error)}): its files are not laid out as expected; choose another"
        " --revision, --config or --split."
    )
