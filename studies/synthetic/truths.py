"""Activations whose true features are known: sums of unit vectors in random directions, made by `sae_lens.synthetic`.

`hier` has 6 d features: d/4 trees of one root, 4 children and 16 grandchildren, which fire only with their parents, and
3 d/4 features of no tree. Half the parents have children that exclude each other; roots, siblings and the features of no tree
fire by Zipf's law, and all are correlated through a covariance of rank 16. `ind` has 4 d and `foreign` d features that fire
independently and equally often. With d 128 about 11, 8 and 8 fire at once.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sae_lens.synthetic import ActivationGenerator

HIER, IND, FOREIGN = "hier", "ind", "foreign"
PER_DIMENSION = {HIER: 6, IND: 4, FOREIGN: 1}
PER_TREE, BRANCHES, EXCLUSIVE, RANK, CORRELATION = 24, 4, 0.5, 16, 0.1
ROOTS, SIBLINGS, FREE = (0.35, 0.5), (0.4, 0.5), (0.05, 0.5)
"""Largest probability and exponent of Zipf's law: of roots, of children whose parent fires, of features of no tree."""
TOGETHER = 1 / 16
"""Features of the other truths that fire at once, per dimension."""
SPREAD = 0.2
"""Standard deviation of a feature's size where it fires; the mean is 1."""
PIECE = 4096
TRAINING, EVALUATION = range(2)
"""Streams of one truth, whose tokens are drawn independently."""


@dataclass(frozen=True, eq=False)
class Truth:
    """True features and how they fire.

    Attributes:
        name: `hier`, `ind` or `foreign`.
        seed: of the vectors, the hierarchy, the correlations and all that is drawn.
        vectors: [M, d], float32, unit norm.
        parents: [M], int64, the parent of each feature, −1 where it has none.
        generator: draws which features fire, and how much.
    """

    name: str
    seed: int
    vectors: Tensor
    parents: Tensor
    generator: "ActivationGenerator"

    def features(self, stream: int, tokens: int) -> Iterator[Tensor]:
        """The first tokens of a stream in pieces [≤ 4,096, M], float32, ≥ 0: a pure function of the truth and the arguments.

        sae_lens draws from torch's global generator, which afterwards is as it was.
        """
        for piece in range(-(-tokens // PIECE)):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_seed(self.name, self.seed, 1 + stream, piece))
                features = self.generator.sample(PIECE)
            yield features[: tokens - piece * PIECE]

    def activations(self, stream: int, tokens: int) -> Tensor:
        """The same as activations, [tokens, d], float32."""
        x = torch.empty(tokens, self.vectors.shape[1])
        for piece, features in enumerate(self.features(stream, tokens)):
            x[piece * PIECE : piece * PIECE + len(features)] = features @ self.vectors
        return x


def make_truth(name: str, seed: int, d_in: int) -> Truth:
    """A truth in `d_in` dimensions, of which `hier` needs a multiple of 4."""
    from sae_lens.synthetic import ActivationGenerator, FeatureDictionary

    count, draw = PER_DIMENSION[name] * d_in, _seed(name, seed, 0, 0)
    parents = torch.full((count,), -1)
    structure: dict[str, Any] = {}
    if name == HIER:
        parents, probabilities, structure = _hierarchy(count, draw)
    else:
        probabilities = torch.full((count,), TOGETHER * d_in / count)
    generator = ActivationGenerator(count, probabilities, SPREAD, 1.0, **structure)
    vectors = FeatureDictionary(count, d_in, initializer=None, seed=draw).feature_vectors.detach()
    return Truth(name, seed, vectors, parents, generator)


def _hierarchy(count: int, seed: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The parents of `hier`, the probabilities that its generator draws with, before parents silence their children and
    children each other, and what else the generator is told."""
    from sae_lens.synthetic import (
        HierarchyConfig,
        HierarchyNode,
        generate_hierarchy,
        generate_random_low_rank_correlation_matrix,
    )

    trees = count // PER_TREE
    hierarchy = generate_hierarchy(count, HierarchyConfig(trees, BRANCHES, 2, EXCLUSIVE), seed)
    parents, probabilities = torch.full((count,), -1), torch.zeros(count)
    probabilities[:trees] = _zipf(trees, *ROOTS)
    probabilities[21 * trees :] = _zipf(3 * trees, *FREE)

    def descend(nodes: Iterable[HierarchyNode]) -> None:
        for node in nodes:
            children = [child.feature_index for child in node.children]
            parents[children] = node.feature_index
            probabilities[children] = _zipf(len(children), *SIBLINGS)
            descend(node.children)

    descend(hierarchy.roots)
    correlated = generate_random_low_rank_correlation_matrix(count, RANK, CORRELATION, seed)
    return parents, probabilities, {"modify_activations": hierarchy.modifier, "correlation_matrix": correlated}


def _zipf(count: int, most: float, exponent: float) -> Tensor:
    return most * torch.arange(1, count + 1) ** -exponent


def _seed(name: str, *numbers: int) -> int:
    return int(np.random.SeedSequence([zlib.crc32(name.encode()), *numbers]).generate_state(1)[0])
