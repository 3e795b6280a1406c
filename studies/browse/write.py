"""`faithful browse`: pages over every latent of a run's SAEs that open from a disk, and need nothing else.

Data lies in scripts, since a page that is opened from a disk may fetch nothing else: `run.js` (SAEs and columns), `text.js`
(tokens of the contexts, strings of ids), `N.js` (the list's columns of SAE N) and `N-C.js` (64 latents of it each).
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, write_text
from faithful.base.progress import Progress, Reporter, counted, remark, silent
from faithful.base.quantities import check_stated
from faithful.base.records import read_record, write_record
from faithful.hooks.hook_points import decoder_layers
from faithful.models.tokenizer import string_of
from faithful.store.saes import TrainedSae, find_saes
from studies.browse.config import BrowseConfig
from studies.browse.contexts import AFTER, BEFORE, Firings, ReadText, read_text
from studies.browse.effects import Unembedding
from studies.browse.latents import SaeFound
from studies.browse.studied import Studied
from studies.common.config import PanelConfig
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel, noise_rows

MARK, PAGE = "browse.json", "index.html"
ASSETS = {PAGE: "browse.html", "page.js": "browse.js", "page.css": "browse.css"}
PAGES, BEFORE_IT = "pages", "before"
CHUNK = 64
OF_DESKTOPS = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that programs that show folders leave there."""
SPACE = (
    "---\ntitle: {name}\nsdk: static\napp_file: index.html\n---\n\nOpen `index.html`. Written by `faithful browse`.\n"
)
"""The README of a folder that is sent to the Hub as a Space."""


@dataclass(frozen=True)
class Done:
    """What was written.

    Attributes:
        folder: of the pages.
        saes, latents: how many are in them.
        bytes: of all files.
        missing: what no study says yet, and the command that adds it.
    """

    folder: Path
    saes: int
    latents: int
    bytes: int
    missing: list[tuple[str, str]]

    @property
    def page(self) -> Path:
        """The file to open."""
        return self.folder / PAGE


def browse(config: BrowseConfig, report: Reporter = silent) -> Done:
    """Write the pages of a run's SAEs.

    The model reads the held-out text and as many random tokens once for all SAEs; activations lie in files meanwhile, 4 bytes
    × tokens × d_in. In memory are the model, one SAE, and at most 60 bytes for each of its firings. The pages are made beside
    their folder and take its place when they are whole.

    Raises:
        FaithfulError: no SAEs, none that are called so, a folder that holds what this did not write, what `resolve_input`
            and `load_panel` refuse.
    """
    check_stated(config)
    wished = config.out or config.run / "browse"
    refuse_foreign(wished)
    out = wished.resolve()
    if not (config.run / "saes").is_dir():
        raise FaithfulError(f"{config.run} holds no SAEs; train some with `faithful train`, or name another run.")
    every = find_saes([config.run / "saes"])
    saes = chosen(every, config.saes)
    places = tuple(sae.folder for sae in saes)
    found = resolve_input(
        PanelConfig(
            places, out, corpora=config.corpora, model=config.model, tokens=config.tokens, device=config.device,
            seed=config.seed,
        )
    )  # fmt: skip
    if found.missing_corpora:
        gone = ", ".join(found.missing_corpora)
        report(remark(f"Not read: held-out text of {gone}, which is not where it was; name it with --corpus."))
    panel = load_panel(found, config.tokens)
    studied = Studied(config.run, [sae for sae in every if (sae.hook, sae.d_in) == (saes[0].hook, saes[0].d_in)])
    building = out.with_name(f".{out.name}.new")
    with folder_lock(building):
        _put_back(building / BEFORE_IT, out)
        try:
            for left in (PAGES, BEFORE_IT):
                shutil.rmtree(building / left, ignore_errors=True)
            pages = _Pages(config, replace(found, saes=tuple(saes)), panel, studied, building, report)
            pages.write()
            refuse_foreign(out)
            if out.exists():
                out.rename(building / BEFORE_IT)
            pages.folder.rename(out)
        finally:
            _put_back(building / BEFORE_IT, out)
            shutil.rmtree(building, ignore_errors=True)
    return Done(wished, len(saes), sum(pages.counts), pages.bytes, studied.missing)


def _put_back(before: Path, out: Path) -> None:
    """Give the pages that were there their place again, where new ones were to take it and did not."""
    if before.exists() and not out.exists():
        before.rename(out)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace what `faithful browse` did not write.

    Raises:
        FaithfulError: the place is a file, or a folder that holds something else.
    """
    if not out.exists() and not out.is_symlink():
        return
    files = read_record(out / MARK, dict)["files"] if (out / MARK).is_file() else []
    known = {MARK, *files}
    there = [path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir() or path.is_symlink()]
    foreign = sorted(name for name in set(there) - known if name.rpartition("/")[2] not in OF_DESKTOPS)
    if out.is_symlink() or not out.is_dir() or foreign:
        what = f"{out} holds {foreign[0]}, which" if foreign else f"{out}"
        raise FaithfulError(f"{what} was not written by `faithful browse`; move it away, or choose another --out.")


def chosen(saes: Sequence[TrainedSae], names: Sequence[str]) -> list[TrainedSae]:
    """SAEs that are called by a corpus (`own`), by corpus and seed (`own/seed-0`) or by their place; all where none is.

    Raises:
        FaithfulError: a name that is no SAE's.
    """
    for name in names:
        if not any(name in _called(sae) for sae in saes):
            known = ", ".join(dict.fromkeys(sae.corpus for sae in saes))
            raise FaithfulError(
                f"No SAE is called {name}; name a corpus ({known}), or one of it as {saes[0].corpus}/seed-0."
            )
    return [sae for sae in saes if not names or set(names) & _called(sae)]


def name_of(sae: TrainedSae, among: Sequence[TrainedSae]) -> str:
    """Its corpus and seed, and its shape where others are called the same."""
    return sae.name if sum(one.name == sae.name for one in among) == 1 else f"{sae.name}, {sae.shape}"


def _called(sae: TrainedSae) -> set[str]:
    return {sae.corpus, f"{sae.corpus}/seed-{sae.seed}", sae.place}


class _Pages:
    """The pages while they are made.

    Args:
        building: folder for them and for activations.

    Attributes:
        folder: of the pages.
        counts: latents shown of each SAE.
        bytes: written so far.
    """

    def __init__(
        self,
        config: BrowseConfig,
        found: StudyInput,
        panel: Panel,
        studied: Studied,
        building: Path,
        report: Reporter,
    ) -> None:
        self.config, self.found, self.panel, self.studied = config, found, panel, studied
        self.building, self.folder, self.report = building, building / PAGES, report
        self.saes = found.saes
        self.counts = [min(sae.d_sae, config.latents or sae.d_sae) for sae in self.saes]
        self.bytes = 0
        self._files: list[str] = []
        self._ids: set[int] = set()

    def write(self) -> None:
        """Read the text, and write all files."""
        count = max(1, round(sum(self.panel.tokens.values()) / (self.found.context - 1)))
        noise = noise_rows(self.found.spec, count, self.found.context, self.config.seed)
        read = [self._read(name, rows) for name, rows in (("text", self.panel.rows), ("random tokens", noise))]
        unembedding = self._unembedding()
        for place in range(len(self.saes)):
            self._write_sae(place, self._sae(place, read, unembedding))
        self._data("text", self._text())
        self._data("run", self._run([text.places.size for text in read]))
        for name, source in ASSETS.items():
            self._file(name, (resources.files("data_cards") / source).read_text(encoding="utf-8"))
        self._file("README.md", SPACE.format(name=json.dumps(f"Every latent of {self.config.run.resolve().name}")))
        write_record(self.folder / MARK, {"files": sorted(self._files)})

    def _write_sae(self, place: int, found: SaeFound) -> None:
        count, before, rows = self.counts[place], sum(self.counts[:place]), []
        for first in range(0, count, CHUNK):
            records = [found.record(latent) for latent in range(first, min(first + CHUNK, count))]
            self._data(f"{place}-{first // CHUNK}", records)
            rows += [found.words(one) for one in records]
            self._ids.update(*(one[side][0] for one in records for side in ("up", "down") if side in one))
            self.report(Progress("latents", before + len(rows), sum(self.counts), "latents"))
        self._data(f"{place}", found.lists(rows))

    def _read(self, name: str, rows: Sequence[np.ndarray]) -> ReadText:
        path, tally = self.building / name.replace(" ", "-"), counted(self.report, name, "contexts")
        return read_text(self.found.truncated, rows, self.panel.ordinary, path, tally)

    def _unembedding(self) -> Unembedding | None:
        try:
            return Unembedding(self.found.model)
        except FaithfulError as error:
            self.report(remark(f"The pages have no logit effects: {error}"))
            return None

    def _sae(self, place: int, read: Sequence[ReadText], unembedding: Unembedding | None) -> SaeFound:
        """Everything of one SAE, which is in memory here alone."""
        sae = self.saes[place].load().to(device=self.found.device)
        on_text, on_noise = (Firings(text, sae, self.found.device) for text in read)
        effects = None
        if unembedding is not None:
            rows = sae.W_dec[: self.counts[place]].float()
            has_string = np.zeros(len(self.panel.ordinary), dtype=bool)
            has_string[self.found.spec.string_ids()] = True
            effects = unembedding.effects(rows, torch.from_numpy(self.panel.ordinary & has_string))
        places = {one: at for at, one in enumerate(self.saes)}
        return SaeFound(self.panel.rows, on_text, on_noise, effects, self.studied.of(self.saes[place]), places)

    def _text(self) -> dict[str, Any]:
        rows = [row.tolist() for row in self.panel.rows]
        ids = sorted(self._ids.union(*rows))
        return {
            "ids": ids,
            "strings": [string_of(self.found.tokenizer, one) for one in ids],
            "rows": rows,
            "parts": self.panel.part_of_rows().tolist(),
        }

    def _run(self, tokens: Sequence[int]) -> dict[str, Any]:
        saes = [
            {
                "name": name_of(sae, self.saes), "corpus": sae.corpus, "shape": sae.shape, "latents": count,
                "sha256": sae.sha256,
            }
            for sae, count in zip(self.saes, self.counts, strict=True)
        ]  # fmt: skip
        return {
            "name": self.config.run.resolve().name, "model": self.found.spec.name, "hook": self.found.hook.name,
            "layers": len(decoder_layers(self.found.model)[1]),
            "parts": list(self.panel.parts), "tokens": tokens, "saes": saes, "chunk": CHUNK,
            "before": BEFORE, "after": AFTER, "missing": self.studied.missing,
            "tasks": self.studied.tasks, **({"load": self.found.spec.load} if self.found.spec.load else {}),
        }  # fmt: skip

    def _data(self, name: str, value: Any) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        self._file(f"data/{name}.js", f'loaded("{name}",{text});\n')

    def _file(self, name: str, text: str) -> None:
        write_text(self.folder / name, text)
        self._files.append(name)
        self.bytes += (self.folder / name).stat().st_size
