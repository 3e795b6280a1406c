"""Controls of every evaluation: SAEs and models that a figure must fall short of, and what is said where it does not.

A study that measures trained SAEs measures its controls in the same way and hands both to `beside`:

    for control in control_saes(found.saes, most, config.seed):  # which may stand among the trained ones
        of[control.control][control.corpus][control.seed] = measure(control.make(moments))
    of |= {name: figures of the SAEs of that shape for name, shape in frozen_shapes(found.saes, first).items()}
    summary["beside"] = beside("accuracy", trained, of)  # each {corpus: {seed: figure}}; several metrics: lists added up

The rule (`studies.statistics.sentences.standing`): a control is as good or better where the trained SAEs are not ahead in the
mean over seeds, and the figure is no measure of quality there. Where they are, but the 95 % interval of their paired
difference (over contexts or examples too where both sides are `Resampled`) reaches 0, they are not shown to be better, which
more seeds may do. Where the truth is known it stands beside them as `ORACLE`, which they must not be ahead of. A study does
no more: its table of controls (`Study.tables`) and what the terminal and the report say of them (`Study.cautions`) are read
off `summary["beside"]`.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from faithful.base.digest import digest
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.stack import init_weights
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from faithful.sae.variant import kind_of
from faithful.store.saes import TrainedSae
from faithful.store.shape import short_name
from studies.common.codes import Moments
from studies.statistics.estimates import Figures, contrast, estimate
from studies.statistics.records import Beside
from studies.statistics.resampled import Resampled

PERMUTED, UNTRAINED = "permuted decoder", "untrained start"


def frozen_shapes(saes: Iterable[TrainedSae], shape: str) -> dict[str, str]:
    """The shapes of frozen SAEs of a run that have hook, width and k of a shape, by their variant."""
    known = {sae.shape: sae.identity for sae in saes if sae.identity}
    if shape not in known:
        return {}
    place = ("hook", "d_sae", "k")
    alike = [one for one in known if all(known[one].get(name) == known[shape].get(name) for name in place)]
    return {
        short_name(known[one]["variant"], known[one].get("parameters", {})): one
        for one in alike
        if one != shape and kind_of(known[one]).control
    }


@dataclass(frozen=True)
class ControlSae(TrainedSae):
    """A control in the place of the trained SAE that it is made of: of its corpus, seed and shape, with a hash of its own.

    Attributes:
        control: `PERMUTED` or `UNTRAINED`.
        draw: seed of the permutation.
        sha256: of both.
    """

    control: str = UNTRAINED
    draw: int = 0
    sha256: str = ""

    def make(self, moments: Moments) -> Autoencoder:
        """The control on the CPU; a start is made for activations with these moments."""
        return (
            permuted_sae(self.load(), self.draw)
            if self.control == PERMUTED
            else untrained_sae(self, moments.mean, moments.covariance)
        )


def control_saes(saes: Sequence[TrainedSae], most: int, seed: int) -> list[ControlSae]:
    """What can be made of the first `most` SAEs of each corpus, with permutations of a seed."""
    seen, found = Counter[str](), []
    for sae in saes:
        seen[sae.corpus] += 1
        kinds = [PERMUTED, *([UNTRAINED] if has_untrained(sae) else [])] if seen[sae.corpus] <= most else []
        of = {field.name: getattr(sae, field.name) for field in fields(TrainedSae)}
        found += [ControlSae(**of, control=one, draw=seed, sha256=digest([sae.sha256, one, seed])) for one in kinds]
    return found


def permuted_sae(sae: Autoencoder, seed: int) -> Autoencoder:
    """The same SAE with the decoder row of another latent for each: no row stays where it was (one random cycle). Rows of 0,
    of latents that a gate has shut, stay: no living latent gets one.

    Its codes are those of the SAE: a figure of codes alone cannot tell the two apart.
    """
    living = sae.W_dec.any(1).nonzero()[:, 0]
    order = living[torch.randperm(len(living), generator=torch.Generator().manual_seed(seed)).to(living.device)]
    other = copy.copy(sae)
    other.W_dec = sae.W_dec.clone()
    other.W_dec[order] = sae.W_dec[order.roll(1)]
    return other


def has_untrained(sae: TrainedSae) -> bool:
    """Whether it is known how an SAE began."""
    return bool(sae.record) and sae.seed is not None


def start_of(sae: TrainedSae) -> list[Any]:
    """What decides how an SAE of which that is known began: those that have it in common began as one."""
    identity = sae.record["identity"]
    return [identity["init_seed"], identity["d_sae"], identity["k"], sae.outline.k is None]


def untrained_sae(sae: TrainedSae, mean: Tensor, covariance: Tensor | None = None) -> Autoencoder:
    """An SAE, of which that is known, as it was before its first step, for activations with the given mean [d_in].

    The mean that training used is that of its first activations. An SAE that fires above thresholds has none yet that would
    be worth the name: with the covariance [d_in, d_in] of the activations it begins above `common_threshold`, without one it
    takes the k largest of each token, as TopK does.
    """
    identity = sae.record["identity"]
    start = untrained_topk(identity["init_seed"], identity["d_sae"], identity["k"], mean)
    if covariance is None or sae.outline.k is not None:
        return start
    threshold = common_threshold(start.W_dec, covariance, start.k)
    weights = start.W_enc, start.b_enc, start.W_dec, start.b_dec
    return ThresholdSAE(*weights, torch.full((start.d_sae,), threshold))


def untrained_topk(init_seed: int, d_sae: int, k: int, mean: Tensor) -> TopKSAE:
    """A TopK SAE of d_sae latents as it is before its first step, for activations with the given mean [d_in]."""
    rows = init_weights(init_seed, len(mean), d_sae)
    return TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, mean.float(), k)


def common_threshold(rows: Tensor, covariance: Tensor, k: int) -> float:
    """What k of the scores of rows [F, d] exceed on average, of Gaussian activations around 0 with a covariance [d, d]; 0
    where all rows together cannot."""
    wide = rows.double()
    spreads = torch.linalg.vecdot(wide @ covariance, wide).clamp_min(1e-30).sqrt()
    low, high = 0.0, 40 * float(spreads.max())
    for _ in range(60):
        middle = (low + high) / 2
        fire = float(torch.special.ndtr(-middle / spreads).sum())
        low, high = (middle, high) if fire > k else (low, middle)
    return low


def permuted_model(model: Any, seed: int) -> Any:
    """A copy of a causal LM, seeded, in which the entries of every weight matrix are permuted; vectors (norms, biases) stay.

    A matrix that two modules share stays shared, and is permuted once.
    """
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                flat = parameter.data.flatten()
                order = torch.randperm(len(flat), generator=generator).to(flat.device)
                parameter.data = flat[order].view_as(parameter)
        for module in other.modules():
            _reload(module)
    return other


def _reload(module: Any) -> None:
    """Give a layer in 8 bit its weight again: bitsandbytes keeps it beside the parameter too, and computes with that."""
    weight = getattr(module, "weight", None)
    for keeper in (weight, getattr(module, "state", None)):
        if getattr(keeper, "CB", None) is not None:
            keeper.CB = weight.data  # type: ignore[union-attr]


def beside(
    metric: str,
    trained: Mapping[str, Figures],
    controls: Mapping[str, Mapping[str, Figures | float]],
    higher: bool = True,
) -> list[Beside]:
    """A figure of the trained SAEs and of their controls, for `summary["beside"]`.

    Args:
        metric: a name of docs/metrics.md.
        trained: by corpus, then seed; of a control that fewer seeds have, it stands beside these.
        controls: the same of each control, by its name, or a number that is the same beside every seed; corpora without
            figures are left out.
        higher: whether more is better.
    """
    found: list[Beside] = []
    for control, by_corpus in controls.items():
        for corpus, every in trained.items():
            of = by_corpus.get(corpus, {})
            figures: Figures = dict.fromkeys(every, of) if isinstance(of, float) else of  # type: ignore[assignment]
            if not _has_figures(figures) or not _has_figures(every):
                continue
            sides = (_of_seeds(every, figures), figures)
            ahead = contrast(*sides) if higher else contrast(*reversed(sides))
            found.append(
                {
                    "metric": metric,
                    "corpus": corpus,
                    "control": control,
                    "trained": {**estimate(sides[0]).summary()},
                    "of_control": {**estimate(figures).summary()},
                    "ahead": ahead.value,
                    "ci95": list(ahead.ci95) if ahead.ci95 else None,
                }
            )
    return found


def _of_seeds(trained: Figures, control: Figures) -> Figures:
    """The figures of the seeds that the control has, with what resamples make of them."""
    every: Mapping[Any, float | None] = trained
    kept = {key: value for key, value in every.items() if key in control}
    return Resampled(kept, trained.draws, trained.units) if isinstance(trained, Resampled) else kept


def _has_figures(of: Figures) -> bool:
    return any(value is not None for value in of.values())
