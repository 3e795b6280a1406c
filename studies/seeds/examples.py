"""Which features: the most and the least reproducible latents of a corpus, with their partners in another seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from faithful.store.saes import TrainedSae
from studies.common.codes import CodedText
from studies.common.examples import Partner, latent_examples
from studies.common.panel import Panel
from studies.common.results import ExampleBlock
from studies.seeds.pairs import Pair


def reproducible_latents(
    within: Mapping[str, Sequence[Pair]],
    saes: Sequence[TrainedSae],
    coded: CodedText,
    panel: Panel,
    tokenizer: Any,
    count: int,
) -> list[ExampleBlock]:
    """Example blocks (see `studies.common.examples`) of each corpus' first SAE.

    Latents are ordered by the mean cosine with their partners; those that do not fire on the panel, or that have no partner
    in a narrower SAE, are left out.

    Args:
        within: pairs of SAEs of each corpus.
        saes: those that the text was coded with, in that order.
        coded, panel: held-out text.
        tokenizer: of the model.
        count: latents per block.
    """
    shown, places = [], {sae: place for place, sae in enumerate(saes)}
    for pairs in within.values():
        first = pairs[0].one
        mine = [pair for pair in pairs if pair.one == first]
        mean = np.mean([pair.cosines for pair in mine], axis=0)
        place = places[first]
        density = coded.codes[place].density
        usable = np.flatnonzero((density > 0) & np.isfinite(mean))
        order = [int(latent) for latent in usable[np.argsort(-mean[usable], kind="stable")]]
        most = order[:count]
        least = [latent for latent in order[::-1] if latent not in most][:count]
        for title, latents in (("most", most), ("least", least)):
            partners = {latent: _partner(mine[0], latent, places) for latent in latents}
            notes = {
                latent: f"fires on {density[latent]:.2%} of the text; mean matched cosine over {len(mine)} other seeds"
                f" {mean[latent]:.2f}"
                for latent in latents
            }
            shown.append(
                latent_examples(
                    f"{first.name}: {title} reproducible latents", latents, notes, coded, place, list(panel.parts),
                    panel.part_of_rows(), tokenizer, partners=partners,
                )
            )  # fmt: skip
    return shown


def _partner(pair: Pair, latent: int, places: Mapping[TrainedSae, int]) -> Partner:
    other = pair.other
    return Partner(places[other], other.corpus, other.seed, int(pair.columns[latent]), float(pair.cosines[latent]))
