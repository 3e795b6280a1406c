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
    "fake_contrast": "fake features, on random tokens and hardly on text",
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
    "fake_density": "fires on more than p of random tokens",
    "foreign_text": "features that the other's text lacks",
    "strong_own": "fires strongly on more than 1 % of its own text",
    "woken_text": "strong on the other text alone",
    "woken_noise": "strong on random tokens alone",
    "l0_ratio_text": "latents per token there, over those on its own text",
    "l0_ratio_noise": "latents per random token, over those on its own text",
    "majority": "always the most frequent class",
    "ce_recovered": "cross-entropy recovered",
    "ce_recovered_matched": "cross-entropy recovered on the own corpus' text",
    "ce_recovered_foreign": "cross-entropy recovered on other corpora's text",
    "ce_diff": "cross-entropy that the SAE adds",
    "kl": "divergence of the predictions",
    "mse": "mean squared error",
    "l2_ratio": "length of the reconstruction over the activation's",
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
    "full_absorption": "parent silent where one other latent stands in",
    "absorption_fraction_032": "share of the parent that others stand in for, sae-bench 0.3.2",
    "absorption_fraction_060": "share of the parent that others stand in for, sae-bench 0.6.0",
    "main_silent": "parent silent, whatever else fires",
    "main_f1": "F1 of the parent's latents alone",
    "split_latents": "latents of the parent beyond the first",
    "unlearned": "accuracy lost on what is to be forgotten, less that on the rest",
    "forget_lost": "accuracy lost on what is to be forgotten",
    "retain_lost": "accuracy lost on the rest",
    "best_of_all": "the best setting, chosen and scored on the same questions",
}
"""What a figure's name means in a few words; docs/metrics.md defines each."""
PATTERNS = (
    (re.compile(r"fake_density_(\d+)_of_bound"), "fires on more than {} % of random tokens, of the most there can be"),
    (re.compile(r"scr_n(\d+)"), "SCR with {} latents out"),
    (re.compile(r"tpp_n(\d+)"), "TPP with {} latents out"),
    (re.compile(r"accuracy:(\w+)"), "accuracy on {}"),
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
    said = "; ".join(", ".join(words_of(one) or one for one in row if not NOTHING.fullmatch(one)) for row in empty)
    note = f"0 to all digits shown: {said}." if said else ""
    return Shown(in_words(table.title), tuple(map(in_words, table.header)), rows, note)


def words_of(name: str) -> str | None:
    """What a figure's name means in a few words; None for what is no name of a figure."""
    for pattern, template in PATTERNS:
        if found := pattern.fullmatch(name):
            return template.format(*found.groups())
    return WORDS.get(name)


def in_words(text: str) -> str:
    """`pw_mcc` as `mean cosine of matched features (pw_mcc)`, alone or in a sentence; what is no name of a figure as it is.

    In a sentence only names with an underscore are, which are no words of their own.
    """
    words = words_of(text)
    if words:
        return f"{words} ({text})" if "_" in text else words
    return re.sub(r"\b[a-z]\w*_\w+", lambda name: in_words(name[0]) if words_of(name[0]) else name[0], text)


def _is_nothing(row: Sequence[str]) -> bool:
    """Whether all figures of a row are 0, there are some, and none is missing."""
    figures = [cell for cell in row if re.match(r"[−-]?\d", cell)]
    return bool(figures) and NONE not in row and all(NOTHING.fullmatch(cell) for cell in figures)
