"""`faithful study variants`: each variant minus TopK, in what the SAEs' evaluation and the run's other studies measured."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter
from faithful.formats.record import weights_sha256
from faithful.sae.variant import DEFAULT, Variant, kind_of
from faithful.store.saes import TrainedSae, by_corpus, corpora_beside, find_saes, ordered_shapes
from faithful.store.shape import short_name
from generation.writing.identity import sampling_of
from studies.common.results import Done, Row, write_results
from studies.statistics.estimates import estimate
from studies.statistics.headlines import Headline
from studies.statistics.records import Figure
from studies.statistics.verdicts import CONDITIONAL, Comparison, judge_together
from studies.variants.config import MEASURED, WITHOUT_VERDICT, VariantsConfig
from studies.variants.figures import draw
from studies.variants.measured import Read, of_metric, read_figures
from studies.variants.summary import VariantsSummary

FREE = {"init_seed", "variant", "variant_version", "parameters", "objective", "schedule"}
"""What SAEs that are compared may differ in; all else of their identity decides their weights too."""
SAME = "its SAEs are TopK's, bit for bit"
SHARED = "shared_feature_ratio"
SHUT = "its shut latents count as not shared"


class Group(NamedTuple):
    """SAEs of one corpus, hook, width and k: shapes by their variant, that of TopK first, which are controls, and
    which shut latents."""

    corpus: str
    shapes: dict[str, str]
    controls: set[str]
    gated: set[str]


def study_variants(config: VariantsConfig, report: Reporter) -> Done:
    """Contrast every variant with TopK; nothing is measured again.

    Raises:
        FaithfulError: no SAEs of `faithful train`, no variant or no TopK beside one, SAEs that were trained otherwise in more
            than their variant, an own corpus that there is not, tables that cannot be read.
    """
    saes = [sae for sae in find_saes(config.saes) if sae.identity and sae.seed is not None]
    groups = _groups(saes)
    own = _own(config, [group.corpus for group in groups], {sae.identity.get("load") for sae in saes})
    with folder_lock(config.out):
        read, left_out = read_figures(saes, _studies(config))
        family = next(group for group in groups if group.corpus == own)
        same = [_same(group, saes) for group in groups]
        of = [
            pair
            for group, alike in zip(groups, same, strict=True)
            for pair in _comparisons(group, read, group is family, alike)
        ]
        summary: VariantsSummary = {
            "study": "variants",
            "own": own,
            "hook": str(saes[0].identity["hook"]),
            "shape": family.shapes[DEFAULT],
            "sizes": {"saes": len(saes), "seeds": len({sae.seed for sae in saes})},
            "corpora": _figures(family, read),
            "frozen": sorted(family.controls),
            "groups": [
                {
                    "corpus": group.corpus,
                    "shape": group.shapes[DEFAULT],
                    "variants": _figures(group, read),
                    "same": alike,
                }
                for group, alike in zip(groups, same, strict=True)
            ],
            "contrasts": judge_together(of),
            "texts": {},
            "conditional_on": CONDITIONAL,
            "left_out": left_out,
        }
        write_results(config.out, summary, _rows(groups, read))
        draw(summary, config.out / "figures")
    return Done(config.out, summary)


def _groups(saes: Sequence[TrainedSae]) -> list[Group]:
    """What can be compared, the shape with most SAEs first."""
    found: dict[tuple[str, str], Group] = {}
    trained: dict[tuple[str, str], TrainedSae] = {}
    for shape, some in ordered_shapes(saes).items():
        for corpus, of in by_corpus(some).items():
            identity = of[0].identity
            place = corpus, f"{identity['hook']}-f{identity['d_sae']}-k{identity['k']}"
            variant = short_name(identity.get("variant", DEFAULT), identity.get("parameters", {}))
            group = found.setdefault(place, Group(corpus, {}, set(), set()))
            group.shapes[variant] = shape
            if kind_of(identity).control:
                group.controls.add(variant)
            if kind_of(identity).gate is not Variant.gate:
                group.gated.add(variant)
            for sae in of:
                _refuse_otherwise(trained.setdefault(place, sae), sae)
    compared = [group for group in found.values() if len(group.shapes) > 1 and DEFAULT in group.shapes]
    if not compared:
        raise FaithfulError(
            "There is no variant beside TopK to compare it with; train both: faithful train --variant topk,NAME."
        )
    return compared


def _refuse_otherwise(one: TrainedSae, other: TrainedSae) -> None:
    a, b = dict(one.identity), dict(other.identity)
    for name in sorted((a.keys() | b.keys()) - FREE):
        if a.get(name) != b.get(name):
            raise FaithfulError(
                f"{one.source} and {other.source} differ in {name.replace('_', ' ')} too ({a.get(name)} and {b.get(name)});"
                " name SAEs that differ in their variant alone."
            )


def _studies(config: VariantsConfig) -> Path:
    """Folder of the studies of the run that the SAEs are of; of SAEs that lie in none, the one this study goes to."""
    places = [Path(source).resolve() for source in config.saes if Path(source).is_dir()]
    runs = [parent.parent for place in places for parent in (place, *place.parents) if parent.name == "saes"]
    return next((run / "studies" for run in runs if (run / "studies").is_dir()), config.out.parent)


def _own(config: VariantsConfig, corpora: Sequence[str], loads: set[str | None]) -> str:
    """The corpus whose contrasts are the family: as stated, else the own one of the model as it was loaded for the SAEs
    (`loads`), the one called `own`, the first."""
    if config.own is not None and config.own not in corpora:
        raise FaithfulError(
            f"No variants were trained on '{config.own}'; choose {' or '.join(dict.fromkeys(corpora))}."
        )
    places = [Path(source) for source in config.saes if Path(source).is_dir()]
    beside = {name: one for place in places for name, one in corpora_beside(place).items()}
    sampled = {name: one for name, one in beside.items() if one.kind == "own"}
    others = {name for name, one in sampled.items() if one.identity["model"].get("load") not in loads}
    known = [name for name, one in sampled.items() if sampling_of(one).is_model]
    return config.own or next((one for one in (*known, "own") if one in corpora and one not in others), corpora[0])


def _comparisons(group: Group, read: Read, is_family: bool, same: Sequence[str]) -> list[tuple[Headline, Comparison]]:
    """Every variant and figure of a group; figures that no SAE of it has are left out."""
    found = []
    on = "" if is_family else f" on {group.corpus}, {group.shapes[DEFAULT]}"
    for metric, headline in MEASURED.items():
        plain = of_metric(read, group.corpus, group.shapes[DEFAULT], metric)
        for variant, shape in group.shapes.items():
            figures = of_metric(read, group.corpus, shape, metric)
            if variant == DEFAULT or not (plain or figures):
                continue
            leads = is_family and metric not in WITHOUT_VERDICT and variant not in group.controls
            lacking = DEFAULT if not plain else variant
            why = f"{metric} of {lacking} was not measured" if not (plain and figures) else None
            names = f"{variant}{on}", f"{DEFAULT}{on}"
            shut = SHUT if metric == SHARED and variant in group.gated else None
            by_construction = SAME if variant in same else shut
            compared = Comparison(*names, metric, figures, plain, leads, undefined=why, chance=by_construction)
            found.append((headline, compared))
    return found


def _figures(group: Group, read: Read) -> dict[str, dict[str, Figure]]:
    """Each variant's figures with their intervals."""
    return {
        variant: {metric: estimate(values).summary() for metric, values in read[group.corpus, shape].items() if values}
        for variant, shape in group.shapes.items()
    }


def _same(group: Group, saes: Sequence[TrainedSae]) -> list[str]:
    """Variants whose SAEs have, bit for bit, the weights of TopK's of their seeds."""
    shapes = {shape: variant for variant, shape in group.shapes.items()}
    of: dict[str, dict[int | None, str | None]] = {variant: {} for variant in group.shapes}
    for sae in saes:
        if sae.corpus == group.corpus and sae.shape in shapes:
            of[shapes[sae.shape]][sae.seed] = weights_sha256(sae.config)
    plain = of.pop(DEFAULT)
    return [name for name, seeds in of.items() if all(one and one == plain.get(seed) for seed, one in seeds.items())]


def _rows(groups: Sequence[Group], read: Read) -> list[Row]:
    """Every figure that is compared."""
    rows = []
    for group in groups:
        for shape in group.shapes.values():
            for metric, values in read[group.corpus, shape].items():
                base = Row("variants", group.corpus, metric, None, shape=shape)
                for key, value in values.items():
                    seed, other = key if isinstance(key, tuple) else (key, None)
                    rows.append(replace(base, value=value, seed=seed, other_seed=other))
    return rows
