"""What the size of a study leaves open, estimated before its work: no number of seeds makes up for too little text.

The estimates are rough: their constants were measured on `tiny` with SAEs of like corpora, where a margin matters (the
standard errors of contrasts that say `± drawn`). What a study really left open stands beside its verdicts.
"""

import math
from collections.abc import Mapping

from studies.common.inputs import StudyInput
from studies.statistics.headlines import HEADLINES
from studies.statistics.sentences import too_few

NORMAL = 1.96
PER_EXAMPLE = 0.2
"""Standard deviation over test examples of the difference between two corpora in the share of SAEs whose probe is right."""
PER_TOKEN = 0.13
"""Standard error of a contrast of `ce_recovered`, times the root of the tokens of the text."""
TEXT_OF_FAKES, NOISE_OF_FAKES = 10_000, 64_000
"""Tokens of a text and of noise that leave about the margin of `fake_contrast` open: a latent that is silent on text fires on
less than one in a thousand of its tokens, which fewer cannot tell."""


def probes_leave_open(found: StudyInput, tests: Mapping[str, int]) -> str | None:
    """What to say before probes with so many test examples of each task; None where the margin can be resolved."""
    if not _compares(found) or not tests:
        return None
    margin = HEADLINES["probes"].margin
    reach = NORMAL * PER_EXAMPLE * math.sqrt(sum(1 / count for count in tests.values())) / len(tests)
    if reach <= margin:
        return None
    wanted = math.ceil((NORMAL * PER_EXAMPLE / margin) ** 2 / len(tests) / 10) * 10
    return _said("probes", reach, f"--set test_size={wanted}")


def reconstruction_leaves_open(found: StudyInput, tokens: Mapping[str, int]) -> str | None:
    """What to say before a reconstruction on so many tokens of each part; None where the margin can be resolved."""
    if not _compares(found) or not tokens:
        return None
    margin = HEADLINES["reconstruction"].margin
    reach = NORMAL * PER_TOKEN / math.sqrt(min(tokens.values()))
    if reach <= margin:
        return None
    wanted = math.ceil((NORMAL * PER_TOKEN / margin) ** 2 * len(tokens) / 1000)
    return _said("reconstruction", reach, f"--tokens {wanted}k")


def fakes_leave_open(found: StudyInput, tokens: Mapping[str, int], noise: int) -> str | None:
    """What to say before fakes are counted on so many tokens of each part and of noise; None where it can be."""
    if not _compares(found) or not tokens:
        return None
    of_text, of_noise = TEXT_OF_FAKES / min(tokens.values()), NOISE_OF_FAKES / noise
    if max(of_text, of_noise) <= 1:
        return None
    wanted = [f"--tokens {math.ceil(TEXT_OF_FAKES * len(tokens) / 1000)}k"] if of_text > 1 else []
    wanted += [f"--set noise_tokens={NOISE_OF_FAKES}"] if of_noise > 1 else []
    return _said("fakes", HEADLINES["fakes"].margin * max(of_text, of_noise), " ".join(wanted))


def _compares(found: StudyInput) -> bool:
    return found.own is not None and len({sae.corpus for sae in found.saes}) > 1


def _said(study: str, reach: float, wanted: str) -> str:
    about = too_few(study, reach, HEADLINES[study].margin)
    return (
        f"Before the work: by a rough estimate {about}, so that small differences will end as 'cannot tell'; {wanted}"
        " would do."
    )
