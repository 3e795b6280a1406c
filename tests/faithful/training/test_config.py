"""What a training comes down to, as settings of its stacks."""

from dataclasses import replace
from pathlib import Path

from faithful.training.settings import settle
from tests.faithful.training.grids import configured


def test_a_stack_has_its_shapes_rate_and_a_window_that_is_a_share_of_the_training(
    corpora: dict[str, Path], tmp_path: Path
) -> None:
    settings, _ = settle(configured(corpora, tmp_path, d_sae=(96, 48), lr=None), "cpu")
    wide, narrow = (settings.stack(8, shape, (0, 1), 20) for shape in settings.shapes)
    assert (wide.d_in, wide.d_sae, wide.k, wide.init_seeds, wide.steps) == (8, 96, 4, (0, 1), 20)
    assert wide.dead_tokens == int(0.05 * settings.tokens) == narrow.dead_tokens
    assert wide.lr < narrow.lr, "wider ones learn more slowly"
    assert replace(settings, tokens=1).stack(8, settings.shapes[0], (0,), 20).dead_tokens == 1
    assert replace(settings, tokens=10**9).stack(8, settings.shapes[0], (0,), 20).dead_tokens == 10_000_000
