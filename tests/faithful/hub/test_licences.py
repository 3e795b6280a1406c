"""What a card says of a licence."""

from types import SimpleNamespace

import pytest

from faithful.hub.licences import licence_paragraph, stated_licence


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ("mit", "mit"),
        (["mit"], "mit"),
        (["mit", "apache-2.0"], "mit + apache-2.0"),
        (None, None),
        ("", None),
        ([], None),
        ({"mit": 1}, None),
        (["mit", None], None),
    ],
)
def test_the_tag_of_a_card_may_be_several(stated: object, licence: str | None) -> None:
    assert stated_licence(SimpleNamespace(license=stated)) == licence
    assert stated_licence(None) is None


@pytest.mark.parametrize(
    ("licence", "family", "said", "unsaid"),
    [
        ("gemma", "gemma3_text", "Gemma terms", "Llama"),
        ("llama2", "llama", "Llama 2 community licence does not allow outputs", "Built with"),
        ("llama3", "llama", 'begins with "Llama 3"', "allows outputs"),
        ("llama3.1", "llama", "Llama 3.1 community licence allows outputs", "does not allow"),
        ("llama3.2", "mllama", "Llama 3.2 community licence allows outputs", "does not allow"),
        ("llama3.3", "llama", "Llama 3.3 community licence allows outputs", "does not allow"),
        ("apache-2.0", "llama", "no terms on its outputs", "Llama"),
        ("apache-2.0", "pythia", "the Pile", "Llama"),
        ("apache-2.0", "gemma4", "no terms on its outputs", "Gemma terms"),
        ("my-own", "gemma", "Model licence: `my-own`.", "Gemma terms"),
        (None, "llama", "not known", "Llama"),
        ("llama4", "llama4", "Llama 4 community licence allows outputs", "does not allow"),
    ],
)
def test_the_paragraph_is_that_of_the_licence(licence: str | None, family: str, said: str, unsaid: str) -> None:
    paragraph = licence_paragraph({"licence": licence, "family": family})
    assert said in paragraph
    assert unsaid not in paragraph


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("meta-llama/Llama-3.1-70B", "llama3.1"),
        ("meta-llama/Llama-3.2-11B-Vision", "llama3.2"),
        ("org/llama-3_3-mine", "llama3.3"),
        ("meta-llama/Meta-Llama-3-8B", "llama3"),
        ("meta-llama/Llama-2-7b-hf", "llama2"),
        ("codellama/CodeLlama-7b-hf", "llama2"),
        ("meta-llama/Llama-4-Scout-17B-16E", "llama4"),
        ("google/gemma-3-27b-pt", "gemma"),
        ("google/gemma-4-E4B", None),
        ("openlm-research/open-llama-3b", None),
        ("allenai/OLMo-2-1124-7B", None),
    ],
)
def test_a_name_tells_which_terms_to_look_at(name: str, licence: str | None) -> None:
    paragraph = licence_paragraph({"licence": None, "name": name})
    assert "so none is stated" in paragraph
    assert ("By its name" in paragraph) == (licence is not None)
    if licence:
        assert f"may be under `{licence}`. Facts to check" in paragraph
