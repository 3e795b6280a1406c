"""Tables as the report shows them: names of figures in words, what is 0 throughout in one sentence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from studies.common.tables import Table
from studies.statistics.numbers import NONE

WORDS = {
    "shared_feature_ratio": "features shared by two seeds",
    "pw_mcc": "mean cosine of matched features",
    "top1_ratio": "features with any look-alike in the other seed",
    "sfr_alive": "shared, of those that fire",
    "sfr_weighted": "shared, weighted by how often they fire",
    "sfr_encoder": "shared, by encoder rows",
    "sfr_both": "shared, by decoder and encoder rows",
    "activation_correlation": "correlation of matched activations",
    "unmatched_explained": "what is not shared, explained by the other seed",
    "unmatched_random": "the same by random latents",
    "floor_random": "random rows",
    "floor_covariance": "rows drawn from the activations' covariance",
    "floor_init": "before training",
    "floor_gaussian": "trained on Gaussian noise",
    "stable_share": "stable: found again in most seeds",
    "stable_chance": "stable by chance",
    "never_share": "found again in no seed",
    "stable_firing": "firings of the stable ones",
    "stable_explained": "variance explained by the stable ones",
    "stable_weight": "weight of the probes on the stable ones",
    "stable_weight_chance": "weight of the probes on as many at random",
    "start_decoder": "cosine of decoder rows with their start",
    "start_encoder": "cosine of encoder rows with their start",
    "start_decoder_stable": "decoder rows with their start, stable ones",
    "start_decoder_unstable": "decoder rows with their start, the others",
    "fake_contrast": "fake: fires on random tokens, hardly on text",
    "fake_contrast_matched": "fake, against the own corpus' text",
    "fake_contrast_foreign": "fake, against other corpora's text",
    "fake_contrast_shuffled": "fake on shuffled text",
    "fake_contrast_unigram": "fake on tokens of the text's frequencies",
    "fake_contrast_permuted_model": "fake in a model with permuted weights",
    "fake_contrast_untrained": "fake before training",
    "fake_contrast_of_bound": "fake, of the most there can be",
    "fake_notes": "rule of the paper's notes: active in a twentieth of random contexts",
    "fake_code": "rule of the paper's code: strong on a tenth of random tokens",
    "accuracy": "accuracy, probe on all latents",
    "macro_f1": "macro F1, probe on all latents",
    "accuracy_h": "accuracy, probe on the activations",
    "macro_f1_h": "macro F1, probe on the activations",
    "accuracy_h_hat": "accuracy, probe on the reconstruction",
    "macro_f1_h_hat": "macro F1, probe on the reconstruction",
    "ce_recovered": "cross-entropy recovered",
    "fvu": "variance left unexplained",
    "l0": "latents that fire per token",
    "never_fired": "latents that never fired",
    "c_dec": "mean overlap of two decoder rows",
    "coherence": "largest overlap of two decoder rows",
    "coherence_over_welch": "largest overlap over the least that it can be",
    "nearest_cosine": "overlap with the nearest row",
    "nearest_cosine_over_welch": "overlap with the nearest row over the least that the largest can be",
    "silent_share": "latents that never fire",
    "alive_share": "latents that ever fire",
}
"""What a figure's name means in a few words; docs/metrics.md defines each."""
PATTERNS = (
    (re.compile(r"fake_density_(\d+)"), "fires on more than {} % of random tokens"),
    (re.compile(r"accuracy_k(\d+)"), "accuracy, probe on the best {} latents"),
    (re.compile(r"log_density_(\d+)"), "log10 of the density, percentile {}"),
)
NOTHING = re.compile(r"[−-]?0(\.0+)?( \([−-]?0(\.0+)? to [−-]?0(\.0+)?\))?(\s±\s0(\.0+)?)?")
LEAST = 3
"""Rows of zeros that are worth a sentence."""


@dataclass(frozen=True)
class Shown(Table):
    """A table and a note below it."""

    note: str = ""


def readable(table: Table) -> Shown:
    """The table with names in words, its code beside them, and rows of nothing but 0 gathered in the note."""
    empty = [row for row in table.rows if _is_nothing(row)] if len(table.header) > 1 else []
    empty = empty if len(empty) >= LEAST else []
    rows = [tuple(map(in_words, row)) for row in table.rows if row not in empty]
    said = "; ".join(" ".join(one for one in row if not NOTHING.fullmatch(one)) for row in empty)
    return Shown(
        table.title, tuple(map(in_words, table.header)), rows, f"0 to all digits shown: {said}." if said else ""
    )


def in_words(cell: str) -> str:
    """`pw_mcc` as `mean cosine of matched features (pw_mcc)`; what is no name of a figure as it is."""
    words = WORDS.get(cell)
    for pattern, template in PATTERNS:
        if found := pattern.fullmatch(cell):
            words = template.format(*found.groups())
    return f"{words} ({cell})" if words and "_" in cell else words or cell


def _is_nothing(row: Sequence[str]) -> bool:
    """Whether all figures of a row are 0, there are some, and none is missing."""
    figures = [cell for cell in row if re.match(r"[−-]?\d", cell)]
    return bool(figures) and NONE not in row and all(NOTHING.fullmatch(cell) for cell in figures)
