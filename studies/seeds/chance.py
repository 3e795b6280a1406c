"""Whether SAEs share more features across seeds than chance gives: the first thing that a study of seeds says."""

from collections.abc import Mapping
from typing import Any

from studies.statistics.numbers import listed

FLOORS = ("floor_random", "floor_covariance", "floor_init", "floor_gaussian")
STEEP = 0.1
"""Above it few directions hold most of the variance: random rows in many dimensions share nothing."""
AT_CHANCE = "neither shares more features across seeds than chance gives"


def highest_floor(found: Mapping[str, Any]) -> float | None:
    """The highest shared feature ratio that a corpus has by chance, of its figures in summary.json."""
    return max((found[floor] for floor in FLOORS if found.get(floor) is not None), default=None)


def at_chance(corpora: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Corpora whose highest floor lies inside or above the interval of their shared feature ratio (of two seeds: their
    ratio)."""
    low = []
    for name, found in corpora.items():
        floor, ratio = highest_floor(found), found.get("shared_feature_ratio")
        if floor is not None and ratio and ratio["value"] is not None:
            least = ratio["ci95"][0] if ratio["ci95"] else ratio["value"]
            low += [name] if least <= floor else []
    return low


def floor_notes(summary: Mapping[str, Any]) -> list[str]:
    """What to say first where SAEs share no more than chance gives; empty for other studies, and where all share more."""
    corpora = summary["corpora"]
    low = at_chance(corpora)
    if not low:
        return []
    found = listed(_found(name, corpora[name]) for name in low)
    what = "so that a comparison says little" if len(low) < len(corpora) else "so that there is nothing to compare"
    said = [
        f"The shared feature ratio of {found} is not above what chance gives (the highest floor lies inside or above its"
        f" interval), {what}; SAEs that are hardly trained look like this: train on more tokens, or at another learning rate."
    ]
    steep = [name for name in low if (corpora[name].get("floor_covariance") or 0.0) > STEEP]
    if steep:
        said.append(
            f"Rows drawn by the covariance of the activations of {listed(steep)} share so much since few directions hold"
            " most of the variance, as massive activations make it: that floor tells little of SAEs, which fit it by a few"
            " latents."
        )
    return said


def _found(name: str, found: Mapping[str, Any]) -> str:
    floor = max((floor for floor in FLOORS if found.get(floor) is not None), key=lambda floor: float(found[floor]))
    return f"{name} ({found['shared_feature_ratio']['value']:.4f}; {floor} {found[floor]:.4f})"
