"""Two SAEs matched: what is computed once per pair and kept under the hashes of what decides it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from faithful.files import write_atomically
from faithful.sae.autoencoder import Autoencoder
from studies.codes import CodedText
from studies.grid import Trained, by_corpus
from studies.inputs import StudyInput
from studies.matching import Directions, match, panel_figures
from studies.panel import Panel

VERSION = 2


@dataclass(frozen=True)
class Pair:
    """Two SAEs and what matching them gave.

    Attributes:
        one, other: the SAEs.
        figures: METRICS' figures of the pair; `sfr_curve` is a list.
        columns: int32 [d_sae of the one], each latent's partner, −1 where it has none.
        cosines: float32 [d_sae of the one], of the matched decoder rows, nan where there is no partner.
    """

    one: Trained
    other: Trained
    figures: dict[str, Any]
    columns: np.ndarray
    cosines: np.ndarray

    @property
    def metrics(self) -> dict[str, float | None]:
        """Figures that are single numbers."""
        return {name: value for name, value in self.figures.items() if not isinstance(value, list)}


def of_one_init(one: Trained, other: Trained) -> bool:
    """Whether two SAEs began with the same weights: alike for that alone, they are never compared."""
    return one.seed is not None and (one.seed, one.d_sae) == (other.seed, other.d_sae)


def pairs_of(saes: Sequence[Trained]) -> list[tuple[int, int]]:
    """Places of SAEs of one shape to compare: within a corpus each pair once, across corpora both directions."""
    places = {sae: place for place, sae in enumerate(saes)}
    groups = [[places[sae] for sae in group] for group in by_corpus(saes).values()]
    wanted = [pair for group in groups for pair in combinations(group, 2)]
    wanted += [pair for one, other in combinations(groups, 2) for pair in product(one, other)]
    return [(i, j) for i, j in wanted if not of_one_init(saes[i], saes[j])]


class Matcher:
    """Matches SAEs of one study on one panel.

    Args:
        found: model, hook and device of the study.
        saes: all SAEs.
        loaded: the same, loaded.
        panel, coded: held-out text with all codes; None without corpora.
        folder: where pairs are kept.

    Attributes:
        reused: pairs that were there already.
    """

    def __init__(
        self,
        found: StudyInput,
        saes: Sequence[Trained],
        loaded: Sequence[Autoencoder],
        panel: Panel | None,
        coded: CodedText | None,
        folder: Path,
    ) -> None:
        self.places = {sae: place for place, sae in enumerate(saes)}
        self.loaded, self.coded, self.folder, self.device = loaded, coded, folder, found.device
        self.reused = 0
        spec = found.spec
        digest = hashlib.sha256(f"{VERSION}/{spec.revision}/{spec.dtype}/{found.hook.name}".encode())
        for row in panel.rows if panel else []:
            digest.update(len(row).to_bytes(4, "little") + row.tobytes())
        self._panel = digest.hexdigest()

    def pair(self, one: Trained, other: Trained) -> Pair:
        """Two SAEs matched, from the folder where they were already."""
        key = hashlib.sha256(f"{self._panel}/{one.sha256}/{other.sha256}".encode()).hexdigest()[:32]
        path = self.folder / f"{key}.npz"
        if path.exists():
            with np.load(path) as stored:
                self.reused += 1
                return Pair(one, other, json.loads(str(stored["figures"])), stored["columns"], stored["cosines"])
        i, j = self.places[one], self.places[other]
        a, b = self.loaded[i], self.loaded[j]
        codes = None if self.coded is None else (self.coded.codes[i], self.coded.codes[j])
        decoders = a.W_dec.to(self.device), b.W_dec.to(self.device)
        densities = None if codes is None else (codes[0].density, codes[1].density)
        mine = Directions(decoders[0], a.W_enc.T.to(self.device))
        found = match(mine, Directions(decoders[1], b.W_enc.T.to(self.device)), densities)
        figures = found.figures()
        if codes is not None:
            figures |= panel_figures(found, codes, decoders, seed=int(key[:12], 16))
        columns = np.full(a.d_sae, -1, np.int32)
        columns[found.assignment.rows] = found.assignment.columns
        cosines = np.full(a.d_sae, np.nan, np.float32)
        cosines[found.assignment.rows] = found.assignment.cosines
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, figures=json.dumps(figures), columns=columns, cosines=cosines)

        write_atomically(path, write)
        return Pair(one, other, figures, columns, cosines)


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of those that are defined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
