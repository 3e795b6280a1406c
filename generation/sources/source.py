"""What a source of external text is, and what one of its documents is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from faithful.store.manifest_parts import SourcePart
from generation.files.templates import rule
from generation.files.text_files import names_in
from generation.sources.round_robin import OPEN_FILES
from generation.sources.samples import Samples

UNITS = ("document", "passage")


@dataclass(frozen=True)
class Row:
    """One document of a source.

    Attributes:
        doc_id: identity of the document inside the source, stable between runs.
        text: its text, the template applied, never empty.
        source: what it came from in words of the source (file, task or subset name), else the source's name.
        values: of a sample, its columns; the text of one that is token ids is "".
    """

    doc_id: str
    text: str
    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where text comes from. `resolve_source` makes one that cannot change under us.

    Attributes:
        name: as users type it; default folder name of the corpus.
        kind: `hub`, `files`, `embedded`, `package` (a Python package of others) or `noise` (no text: uniform random tokens).
        unit: `document` (a row is a document) or `passage` (a row is cut into consecutive passages).
        about: what it is, in a line.
        repo, config, split: of a Hub set; split also of a saved folder.
        revision: commit sha on the Hub, once resolved.
        package, version: name and installed version of a package, once resolved.
        data_files: patterns inside the repository or the package, () for the repository's own list; absolute paths for the
            other kinds, and for a package once resolved.
        sha256: of each local or embedded file.
        root: folder that local paths are named from.
        builder: type of the files (parquet, json, csv, text, arrow, saved), None to leave it to the repository.
        fallback: patterns of Parquet files to read where a script of the repository's own stands in the way.
        columns: columns read for the text.
        template: name or format string that makes text of them, None for one column as it stands.
        source_column: column, or `column.field`, that names the task or subset of a row.
        leave_out: tasks left out by that name.
        distinct: whether each text is taken once, the first time that a file has it.
        held_out: rows (files, or texts known by name) whose passages make up the split `test`; () leaves it to a hash of
            each row's text.
        open_files: how many files, or parts of files, are read in turn.
        parts: how the files are cut into the parts that are read in turn, in words; None where they are read whole.
        samples: what the columns say where the rows are samples of a model, else None.
        licence: tag as stated by the publisher, None when unknown.
        size: how much there is, in a few words, "" when unknown.
        remarks: traps worth knowing.
        unverified: which of these facts were not checked.
    """

    name: str
    kind: str
    unit: str = "document"
    about: str = ""
    repo: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    package: str | None = None
    version: str | None = None
    data_files: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    root: str | None = None
    builder: str | None = None
    fallback: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    template: str | None = None
    source_column: str | None = None
    leave_out: tuple[str, ...] = ()
    distinct: bool = False
    held_out: tuple[str, ...] = ()
    open_files: int = OPEN_FILES
    parts: str | None = None
    samples: Samples | None = None
    licence: str | None = None
    size: str = ""
    remarks: str = ""
    unverified: tuple[str, ...] = ()

    def identity(self) -> SourcePart:
        """What decides the rows and their order: JSON values, no paths of this machine."""
        if self.kind == "noise":
            return {"kind": self.kind}
        text: SourcePart = {
            "columns": list(self.columns),
            "template": self.template,
            "source_column": self.source_column,
            "leave_out": list(self.leave_out),
            "unit": self.unit,
            "open_files": self.open_files,
        }
        if self.parts:
            text["parts"] = self.parts
        if self.distinct:
            text["distinct"] = True
        if self.samples:
            text["samples"] = self.samples.identity()
        if self.held_out:
            text["held_out"] = list(self.held_out)
        if self.kind == "hub":
            where: SourcePart = {
                "repo": self.repo,
                "config": self.config,
                "split": self.split,
                "revision": self.revision,
                "data_files": list(self.data_files),
            }
        else:
            where = {"package": self.package, "version": self.version} if self.kind == "package" else {}
            where |= {"builder": self.builder, "files": dict(zip(self.file_names(), self.sha256, strict=True))}
        return {"kind": self.kind, **where, **text}

    def provenance(self) -> SourcePart:
        """What is known beyond that: licence, remarks, what the template does, where local files lay."""
        facts = {
            "name": self.name,
            "about": self.about,
            "licence": self.licence,
            "size": self.size,
            "template_rule": "token ids"
            if self.samples and self.samples.are_ids
            else rule(self.template)
            if self.columns
            else "",
            "remarks": self.remarks,
            "unverified": list(self.unverified),
            "path": self.root if self.kind == "files" else None,
        }
        return cast(SourcePart, {name: value for name, value in facts.items() if value not in (None, "", [])})

    def file_names(self) -> list[str]:
        """What local files are called in ids: their paths inside `root`."""
        return names_in(Path(self.root or "/"), map(Path, self.data_files))
