"""What is repeated of the errors of libraries."""

import pytest

from faithful.base.errors import one_line

VALIDATION = """1 validation error for ModelConfig
  Value error, max_model_len (4001) is greater than 128. [type=value_error, input_value=ArgsKwargs((), {'a': 1})]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (VALIDATION, "Value error, max_model_len (4001) is greater than 128"),
        (
            "2 validation errors for A\nx\n  too small [type=a, input_value=1, input_type=int]\ny\n  wrong",
            "x too small y wrong",
        ),
        ("The first line:\n\n  the reason.\n", "The first line: the reason"),
        ("\x1b[1mbold\x1b[0m words", "bold words"),
        ("", "ValueError"),
        ("\n", "ValueError"),
        ("a " * 400, "a " * 149 + "a …"),
        ("a" * 400, "a" * 300 + " …"),
    ],
)
def test_an_error_in_one_line(text: str, line: str) -> None:
    assert one_line(ValueError(text)) == line


def test_a_real_validation_error_says_its_reason() -> None:
    from pydantic import BaseModel, ValidationError

    class Settings(BaseModel):
        tokens: int

    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"tokens": "many"})
    assert one_line(caught.value) == "tokens Input should be a valid integer, unable to parse string as an integer"
