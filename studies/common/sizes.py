"""How much text the studies over SAEs read unless they are told, by kind of device: for the studies and for forecasts."""

PANEL_TOKENS = {"cpu": 30_000, "cuda": 200_000}
NOISE_TOKENS = {"cpu": 64_000, "cuda": 1_000_000}
NOISE_CONTEXTS = 1000
PROBE_EXAMPLES = {"cpu": 256, "cuda": 2_000}
PROBE_TESTS = {"cpu": 400, "cuda": 2_000}
GAUSSIAN_SEEDS = 2
FAKES_PANEL_PASSES, FAKES_NOISE_PASSES = 9, 3


def default_size(sizes: dict[str, int], device: str) -> int:
    """The size for a device, `cpu`, `cuda` or `cuda:1`."""
    return sizes["cpu" if device == "cpu" else "cuda"]


def noise_tokens(device: str, context: int) -> int:
    """Random tokens that fakes are counted on: at least the 1,000 contexts that `fake_notes` is about."""
    return max(default_size(NOISE_TOKENS, device), NOISE_CONTEXTS * (context - 1))
