"""Local Parquet and Arrow files as rows. Each file keeps its own types; columns that are read must be of one kind in all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from generation.files.local_files import refuse_doubled
from generation.files.parts import ROW_GROUPS, FilePart, whole_files

_BATCH = 1024


class Tables:
    """Rows of Parquet or Arrow files.

    Args:
        builder: `parquet` or `arrow`.
        paths: the files.
        names: what they are called in document ids.
        chosen: the columns to read, None for all.

    Raises:
        FaithfulError: a file is damaged, cut off or of another type, or has two columns of one name.
    """

    def __init__(
        self, builder: str, paths: list[Path], names: list[str], chosen: tuple[str, ...] | None = None
    ) -> None:
        self.builder, self.paths, self.names, self.chosen = builder, paths, names, chosen
        self._schemas = [_schema(builder, path) for path in paths]
        for path, schema in zip(paths, self._schemas, strict=True):
            refuse_doubled(path, schema.names)

    @property
    def features(self) -> dict[str, Any]:
        """What the `datasets` library knows of each column, such as the names of its classes."""
        import datasets

        return dict(datasets.Features.from_arrow_schema(self._schemas[0]))

    def columns(self) -> list[str]:
        """Names of the first file's columns."""
        return list(self._schemas[0].names)

    def select(self, columns: tuple[str, ...]) -> "Tables":
        """The same files with these columns only.

        Raises:
            FaithfulError: a file lacks one, or it is of another kind in another file; says in which.
        """
        for name in columns:
            for path, schema in zip(self.paths, self._schemas, strict=True):
                if name not in schema.names:
                    raise FaithfulError(
                        f"{path} has the columns {', '.join(schema.names)} and {self.paths[0].name} has"
                        f" {', '.join(self.columns())}; put files of the same columns into a folder of their own."
                    )
            self._refuse_drift(name)
        return Tables(self.builder, self.paths, self.names, columns)

    def _refuse_drift(self, name: str) -> None:
        import pyarrow as pa

        typed = [(path, schema.field(name).type) for path, schema in zip(self.paths, self._schemas, strict=True)]
        for (first, one), (path, other) in pairwise([found for found in typed if found[1] != pa.null()]):
            if not _alike(one, other):
                raise FaithfulError(
                    f"The column '{name}' is {one} in {first} and {other} in {path}; write the files with one type, or put"
                    " those of one type into a folder of their own."
                )

    def rows(self, file: int, skip: int = 0) -> Iterator[Mapping[str, Any]]:
        """Rows of a file after the first `skip`."""
        with self.paths[file].open("rb") as content:
            if self.builder == "parquet":
                yield from self._from(self._batches(content), skip)
            else:
                with _arrow_batches(content) as batches:
                    yield from self._from(batches, skip)

    def division(self, unit: str) -> str | None:
        """Parquet files are cut into their row groups; Arrow files cannot be entered in the middle."""
        return ROW_GROUPS if self.builder == "parquet" else None

    def parts(self) -> list[FilePart]:
        """The row groups of every file, of Arrow files each as a whole."""
        import pyarrow.parquet as pq

        if self.builder != "parquet":
            return whole_files(self)
        found = []
        for path, name in zip(self.paths, self.names, strict=True):
            metadata = pq.read_metadata(path)
            first = 0
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                found += [FilePart(name, first, partial(self._row_group, path, group))] if rows else []
                first += rows
        return found

    def _row_group(self, path: Path, group: int, skip: int) -> Iterator[Mapping[str, object]]:
        with path.open("rb") as content:
            yield from self._from(self._batches(content, [group]), skip)

    def _batches(self, content: Any, groups: list[int] | None = None) -> Iterator[Any]:
        """Of Parquet, the chosen columns of row groups, or of all, of which one at a time is held."""
        import pyarrow.parquet as pq

        columns = None if self.chosen is None else list(self.chosen)
        return pq.ParquetFile(content, pre_buffer=False).iter_batches(_BATCH, row_groups=groups, columns=columns)

    def _from(self, batches: Iterator[Any], skip: int) -> Iterator[Mapping[str, object]]:
        for batch in batches:
            if skip < batch.num_rows:
                part = batch.slice(skip) if self.chosen is None else batch.slice(skip).select(list(self.chosen))
                yield from part.to_pylist()
            skip = max(skip - batch.num_rows, 0)


def _schema(builder: str, path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if builder == "parquet":
            return pq.read_schema(path)
        with path.open("rb") as content, _arrow_batches(content) as batches:
            return batches.schema
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
        raise FaithfulError(
            f"{path} cannot be read as {builder} ({reason}): it is damaged or cut off; replace it."
        ) from error


@contextmanager
def _arrow_batches(content: Any) -> Iterator[Any]:
    """The batches of an Arrow stream, as the `datasets` library writes it, or of an Arrow file."""
    import pyarrow as pa

    try:
        batches = pa.ipc.open_stream(content)
    except (pa.ArrowInvalid, OSError):
        content.seek(0)
        batches = _ArrowFile(pa.ipc.open_file(content))
    yield batches


class _ArrowFile:
    """The batches of an Arrow file in turn, as those of a stream."""

    def __init__(self, file: Any) -> None:
        self.schema, self._file = file.schema, file

    def __iter__(self) -> Iterator[Any]:
        return (self._file.get_batch(number) for number in range(self._file.num_record_batches))


def _alike(a: Any, b: Any) -> bool:
    """Whether values of two types are read alike: texts, numbers, lists of such, structures whatever their fields."""
    import pyarrow.types as types

    a, b = (kind.value_type if types.is_dictionary(kind) else kind for kind in (a, b))
    if types.is_null(a) or types.is_null(b) or a == b:
        return True
    for is_kind in (_is_text, _is_number, types.is_struct, types.is_temporal, _is_binary):
        if is_kind(a) and is_kind(b):
            return True
    return _is_list(a) and _is_list(b) and _alike(a.value_type, b.value_type)


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind))


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
