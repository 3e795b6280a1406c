"""How much rounding explains."""

from types import SimpleNamespace

import pytest
import torch

from generation.scoring.rounding import EXACT, ROUNDED, rounding_cap


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.uint8])
def test_the_cap_follows_the_types_really_used(dtype: torch.dtype) -> None:
    exact = [torch.nn.Parameter(torch.zeros(2))]
    stored = torch.nn.Parameter(torch.zeros(2).to(dtype), requires_grad=False)
    plain = SimpleNamespace()
    assert rounding_cap(SimpleNamespace(parameters=lambda: exact, config=plain)) == EXACT
    assert rounding_cap(SimpleNamespace(parameters=lambda: [*exact, stored], config=plain)) == ROUNDED
    quantised = SimpleNamespace(quantization_config={"quant_method": "mxfp4"})
    assert rounding_cap(SimpleNamespace(parameters=lambda: exact, config=quantised)) == ROUNDED
