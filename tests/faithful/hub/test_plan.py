"""Names of repositories, refused before anything is asked."""

import re
from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from faithful.hub.plan import check_name
from studies.runs.publish import publish_corpus, publish_run, publish_saes
from tests.faithful.hub.state import Hub


class TestNames:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("user/a--b", "'--' is in it"), ("us--er/a", "'--' is in it"), ("user/a..b", "'..' is in it"),
            ("user/a.git", "ends with '.git'"), ("user/a.GIT", "ends with '.GIT'"), ("user/a.ipynb", "ends with '.ipynb'"),
            ("user/.letters", "begins or ends with"), ("user/letters.", "begins or ends with"),
            ("user/-letters", "begins or ends with"), ("user/letters-", "begins or ends with"),
            ("-user/a", "begins or ends with"), ("user-/a", "begins or ends with"), ("../x", "begins or ends with"),
            ("user/" + "a" * 97, "97 characters"), ("user/münze", "'ü' is in it"), ("user/a b", "' ' is in it"),
            ("user/a\n", "is in it"), ("us:er/a", "':' is in it"), ("user/a\u202eb", "is in it"), ("_user/a", "underscore"),
            ("letters", "write USER/REPO"), ("user/", "write USER/REPO"), ("/a", "write USER/REPO"),
            ("a/b/c", "write USER/REPO"), ("datasets/user/a", "write USER/REPO"),
        ],
    )  # fmt: skip
    def test_refused_in_the_dry_run_and_without_it(self, hub: Hub, corpus: Path, name: str, said: str) -> None:
        for publish in (publish_corpus, publish_saes, publish_run):
            for dry_run in (True, False):
                with pytest.raises(FaithfulError, match=re.escape(said)):
                    publish(PublishConfig(corpus, name), dry_run=dry_run)
        assert not hub.log

    def test_what_is_taken_the_client_takes_too(self) -> None:
        import itertools

        for part in map("".join, itertools.product("a.-_9", repeat=4)):
            for name in (f"user/{part}", f"{part}/things"):
                try:
                    check_name(name)
                except FaithfulError:
                    continue
                validate_repo_id(name)

    def test_names_of_the_hub_are_taken(self) -> None:
        for name in (
            "openai-community/gpt2",
            "HuggingFaceFW/fineweb-edu",
            "a/b",
            "user/_x",
            "01-ai/Yi-1.5-6B",
            "x_y/z.w",
        ):
            check_name(name)
            validate_repo_id(name)
        with pytest.raises(HFValidationError):
            validate_repo_id("user/a--b")
