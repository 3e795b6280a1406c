"""What can be said of samples that came as texts: held against samples drawn here that went through text as well.

A text tokenised again need not give the ids that were drawn. Its tokens are then no sample of q, and no test of the
certificate is calibrated: the ids that merges prefer replace those that were drawn, which raises the surprise. So the model
draws as many samples under the same declaration, they are decoded and tokenised again, and the two are compared. Where they
do not differ, a true gap smaller than the interval of the difference stays unseen, and the verdict says so.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from faithful.base.memory import free_memory
from faithful.base.progress import Progress, Reporter, silent
from faithful.models.load import shape_of
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Manifest
from faithful.store.manifest_parts import Certificate, TestPart
from generation.certificate.conclude import ALPHA, NEGLIGIBLE_EFFECT, NOT_FROM, TOLERANCE, TOO_FEW
from generation.certificate.evidence import Evidence
from generation.certificate.p_values import holm
from generation.certificate.score_part import Scored, score_evidence
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request
from generation.sampling.seeds import sample_seed, uniforms
from generation.scoring.scored_part import ScoredPart
from generation.scoring.self_check import checked_engine
from generation.sources.samples import ENDS_UNKNOWN, ROUND_TRIP
from generation.writing.identity import drawn_in, retokenised_inputs
from generation.writing.statistics import without_closing

RETOKENISED = "text re-tokenised"
DRAWN_TOKENS = {"cpu": 40_000, "cuda": 400_000}
SLOTS = {"cpu": 64, "cuda": 256}
LEAST_DOCUMENTS = 30


def held_against_drawn(
    manifest: Manifest,
    scored: Scored,
    result: Certificate,
    part: ScoredPart,
    model: Any,
    spec: ModelSpec,
    sampling: Sampling,
    report: Reporter = silent,
) -> Certificate:
    """What of a certificate changes where its documents are re-tokenised texts: see `against_drawn`.

    Draws as many samples as there are texts, at most about 40k tokens on a CPU and 400k on a GPU, and scores them.

    Args:
        manifest: of the corpus.
        scored: its documents' evidence.
        result: the certificate as if they were samples.
        part: the documents.
        model, spec: the model.
        sampling: the q they are scored against.
        report: progress.
    """
    longest = max(map(len, part.documents))
    mean = sum(map(len, part.documents)) / len(part.documents)
    most = int(DRAWN_TOKENS[next(model.parameters()).device.type] / mean)
    count = min(len(part.documents), max(most, LEAST_DOCUMENTS))
    counts = manifest.provenance["samples"]
    documents, changed = drawn_through_text(
        model, spec, load_tokenizer(spec.files, spec.hub_revision()), sampling.with_changes(max_tokens=longest), count,
        scored.seed, ends_known=1 - counts.get(ENDS_UNKNOWN, 0) / max(counts["samples"], 1), report=report,
    )  # fmt: skip
    drawn = ScoredPart(documents, np.arange(len(documents)), None, "drawn here")
    # Scored as the texts are: a wider band for rounding would take more tokens out of one side than of the other.
    ours = score_evidence(drawn, model, spec, sampling, sampled_in=drawn_in(manifest), seed=scored.seed, report=report)
    found = against_drawn(result, scored.evidence, ours.evidence, changed)
    found["against_drawn"]["round_trip_share"] = counts.get(ROUND_TRIP, 0) / max(counts["samples"], 1)
    return found


def undecided_with_text(manifest: Manifest, result: Certificate) -> Certificate:
    """What of a certificate changes where a corpus is derived from samples that came as texts: nothing is decided."""
    names = retokenised_inputs(manifest.identity, manifest.provenance)
    if not names or result["verdict"] == TOO_FEW:
        return {}
    return {
        "verdict": f"{RETOKENISED}: not decidable",
        "reason": f"it holds texts of {', '.join(names)} that were tokenised again; certify the samples themselves",
    }


def drawn_through_text(
    model: Any,
    spec: ModelSpec,
    tokenizer: Any,
    sampling: Sampling,
    count: int,
    seed: int,
    *,
    ends_known: float,
    report: Reporter = silent,
) -> tuple[list[np.ndarray], float]:
    """Samples of the model, decoded and tokenised again.

    Args:
        model, spec, tokenizer: the model.
        sampling: as declared, with the longest sample.
        count: how many to draw.
        seed: of the draws.
        ends_known: share of the samples that ended by themselves whose end is kept: that of the texts which tell theirs.
        report: progress.

    Returns:
        Token ids of each that has any, and the share of samples whose ids changed.
    """
    requests: Iterator[Request] = (Request(i, sample_seed(seed, "through text", i)) for i in range(count))
    engine = checked_engine(model, spec, sampling, _slots(model, spec, sampling.max_tokens, count))
    samples = []
    for sample in engine.run(requests):
        samples.append(sample)
        report(Progress("drawing samples to compare with", len(samples), count, "samples"))
    samples.sort(key=lambda sample: sample.index)
    bodies = [without_closing(sample.token_ids, spec.eos_ids) for sample in samples]
    known = [[token for token in body if token < spec.mapped] for body in bodies]
    texts = tokenizer.batch_decode(known, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    again = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    longest = (spec.positions or sampling.max_tokens + 1) - 1
    documents, changed = [], 0
    tells = uniforms(np.array([sample_seed(seed, "end", sample.index) for sample in samples]), 1)[:, 0] < ends_known
    for sample, body, ids, tells_end in zip(samples, bodies, again, tells, strict=True):
        changed += list(ids) != body
        closed = sample.finish_reason == "stop" and tells_end
        documents.append(np.array([*ids, *(sample.token_ids[len(body) :] if closed else [])][:longest], np.int64))
    return [document for document in documents if len(document)], changed / max(len(samples), 1)


def _slots(model: Any, spec: ModelSpec, longest: int, count: int) -> int:
    """Samples drawn together: as many as half of the free memory has twice the key-value buffers of."""
    device = next(model.parameters()).device.type
    each = shape_of(spec).row_bytes(model.dtype.itemsize, 2 * (longest + 1))
    return max(1, min(SLOTS[device], count, free_memory(device) // 2 // each))


def against_drawn(result: Certificate, theirs: Evidence, ours: Evidence, changed: float) -> Certificate:
    """What of a certificate changes where its documents are re-tokenised texts.

    Args:
        result: the certificate as if they were samples.
        theirs: the evidence of the documents.
        ours: that of samples that were drawn here and went through text.
        changed: share of those whose ids changed.
    """
    gap, error = _difference(theirs, ours)
    ci95 = [gap - 1.96 * error, gap + 1.96 * error]
    tests: dict[str, TestPart] = {"surprise": {"p": None, "left_out": "the surprise of the texts has no spread"}}
    if error > 0:
        z = gap / error
        per_token = math.sqrt((theirs.surprise.variance + ours.surprise.variance) / (theirs.inside + ours.inside))
        tests["surprise"] = {"p": math.erfc(abs(z) / math.sqrt(2)), "z": z, "effect": abs(gap) / max(per_token, 1e-9)}
    tests["pit"] = _shape(theirs, ours)
    copy = result["tests"]["copy"]
    if copy.get("duplicates"):
        tests["copy"] = copy.copy()
    for name, p in holm({name: test["p"] for name, test in tests.items() if test["p"] is not None}).items():
        tests[name]["p_holm"] = p
    documents = min(theirs.documents, ours.documents)
    verdict, reason = _verdict(tests, ci95, documents, changed)
    return {
        "tests": tests,
        "z": tests["surprise"].get("z"),
        "p_value": tests["surprise"]["p"],
        "p_holm": min((test["p_holm"] for test in tests.values() if "p_holm" in test), default=1.0),
        "verdict": verdict,
        "reason": reason,
        "against_drawn": {
            "difference": gap, "ci95": ci95, "documents": ours.documents, "tokens": ours.tokens, "changed": changed,
        },
    }  # fmt: skip


def _difference(theirs: Evidence, ours: Evidence) -> tuple[float, float]:
    """By how much the surprise gaps differ, nats per token, and its standard error over documents."""
    means, variances = [], []
    for evidence in (theirs, ours):
        gaps, tokens = np.concatenate(evidence.by_document).T
        total = max(tokens.sum(), 1)
        mean = gaps.sum() / total
        count = len(gaps)
        means.append(mean)
        variances.append(((gaps - mean * tokens) ** 2).sum() / total**2 * count / max(count - 1, 1))
    return float(means[0] - means[1]), math.sqrt(float(sum(variances)))


def _shape(theirs: Evidence, ours: Evidence) -> TestPart:
    """χ² of whether the probability-integral transforms of both have one shape; the effect is their total variation."""
    from scipy.stats import chi2

    counts = np.stack([theirs.pit_counts, ours.pit_counts]).astype(float)
    sizes = counts.sum(1, keepdims=True)
    expected = sizes * counts.sum(0) / counts.sum()
    if expected.min() < 5:
        return {"p": None, "left_out": "too few tokens for its cells"}
    statistic = float(((counts - expected) ** 2 / expected).sum())
    distance = 0.5 * float(np.abs(np.subtract(*(counts / sizes))).sum())
    freedom = counts.shape[1] - 1
    return {"p": float(chi2.sf(statistic, freedom)), "chi2": statistic, "df": freedom, "effect": distance}


def _verdict(tests: dict[str, TestPart], ci95: list[float], documents: int, changed: float) -> tuple[str, str]:
    beyond = max(-ci95[0], ci95[1])
    control = f"samples drawn here and re-tokenised alike, of which {changed:.1%} changed"
    rejecting = [name for name, test in tests.items() if test.get("p_holm", 1.0) < ALPHA]
    negligible = all(tests[name]["effect"] <= NEGLIGIBLE_EFFECT for name in rejecting) and "copy" not in rejecting
    if rejecting and not (negligible and beyond < TOLERANCE):
        return NOT_FROM, f"{', '.join(rejecting)} tell them from {control}"
    if documents < LEAST_DOCUMENTS:
        return TOO_FEW, f"{documents} texts are too few to hold against {control}; give {LEAST_DOCUMENTS} at least"
    return (
        f"{RETOKENISED}: not decidable beyond ±{beyond:.2g} nats per token",
        f"they cannot be told from {control}: their surprise differs by {sum(ci95) / 2:+.3f} nats per token"
        f" ({ci95[0]:+.3f} to {ci95[1]:+.3f}); token ids would decide it",
    )
