"""A server with OpenAI's interface, through OpenAI's client, which is an extra: who explains, and what goes wrong."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple, cast

from faithful.base.errors import FaithfulError
from faithful.hub.errors import first_line
from studies.explanations.place import KEY, refuse_without_client
from studies.explanations.prompts import Messages

NO_KEY = "none"
"""What a local server that wants no key is sent."""
PATIENCE, AGAIN = 120.0, 4
"""Seconds that an answer may take, and how often it is asked for again where a server is busy or gone for a moment."""
GO_ON = "what was answered is kept, and the same command goes on from there"


class RefusedError(FaithfulError):
    """The server has understood a question and does not answer it."""


class Answer(NamedTuple):
    """What a model said, None where it did not come to an end; and the tokens that it read and wrote, 0 where the server does
    not say."""

    said: str | None
    read: int
    written: int


class Endpoint:
    """A server, and a model on it, which is not asked before it has to be.

    Args:
        address: of its interface, see `address_of`.
        model: its name there, as stated; it need not be one that the server lists.
        known: name of the model that answered before, where none is stated.

    Attributes:
        address: of it.
    """

    def __init__(self, address: str, model: str | None = None, known: str | None = None) -> None:
        self.address, self._stated, self._known = address, model, known
        self._newer = False

    @cached_property
    def name(self) -> str:
        """What the model is called: of a folder, as which some servers name it, the last part.

        Raises:
            FaithfulError: nobody answers, the key is not known, or there is no model, or several, and none was stated.
        """
        return self._known if self._stated is None and self._known is not None else _called(self._model)

    def ask(self, messages: Messages, most: int) -> Answer:
        """What the model says, at temperature 0 where it takes one.

        Args:
            messages: of the chat so far.
            most: tokens of the answer.

        Raises:
            RefusedError: of this question.
            FaithfulError: no answer, in a sentence.
        """
        newer = self._newer  # other threads may learn it meanwhile
        try:
            return self._asked(messages, most, newer)
        except RefusedError as error:
            if newer or not any(word in str(error) for word in ("max_tokens", "temperature")):
                raise
            self._newer = True  # OpenAI's models that reason refuse both
            return self._asked(messages, most, newer=True)

    def _asked(self, messages: Messages, most: int, newer: bool) -> Answer:
        how: dict[str, Any] = {"max_completion_tokens": most} if newer else {"max_tokens": most, "temperature": 0.0}
        model = self._model
        with self._spoken(f"; {GO_ON}"):
            done = self._client.chat.completions.create(model=model, messages=cast(Any, messages), **how)
            used, choice = done.usage, done.choices[0]
            said, ended = choice.message.content, choice.finish_reason != "length"
        return Answer(
            (said or "") if ended else None, used.prompt_tokens if used else 0, used.completion_tokens if used else 0
        )

    @cached_property
    def _client(self) -> Any:
        refuse_without_client()
        from openai import OpenAI

        key = os.environ.get(KEY, "").strip()
        if not key.isascii() or not key.isprintable():
            raise FaithfulError(f"{KEY} holds characters that no key has; set it anew.")
        try:
            return OpenAI(base_url=self.address, api_key=key or NO_KEY, max_retries=AGAIN, timeout=PATIENCE)
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            raise FaithfulError(f"The client of OpenAI does not start: {first_line(error)}.") from None

    @cached_property
    def _model(self) -> str:
        """The model by the name that the server has for it."""
        if self._stated is not None:
            return self._stated
        with self._spoken(""):
            there = [one.id for one in self._client.models.list()]
        fitting = [one for one in there if self._known in (None, _called(one))]
        if len(fitting) == 1:
            return str(fitting[0])
        listed = _listed([_called(one) for one in there])
        if self._known is not None:
            raise FaithfulError(
                f"{self.address} has {listed}, and {self._known} explained before; choose one with --explainer."
            )
        raise FaithfulError(f"{self.address} has {listed}; choose one with --explainer.")

    @contextmanager
    def _spoken(self, further: str) -> Iterator[None]:
        """Errors of the client in a sentence, with what is to be said further."""
        import openai

        try:
            yield
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            raise FaithfulError(
                f"{self.address} does not take the key in {KEY}; set it to that of your account."
            ) from None
        except openai.RateLimitError as error:
            raise FaithfulError(
                f"{self.address} takes no more requests for now ({first_line(error)}){further}."
            ) from None
        except openai.APITimeoutError:
            raise FaithfulError(
                f"{self.address} has not answered in {PATIENCE:.0f} seconds, {AGAIN + 1} times; ask it less at a time with"
                f" --set requests=1{further}."
            ) from None
        except openai.APIConnectionError:
            raise FaithfulError(
                f"{self.address} does not answer; start a server, as with `vllm serve MODEL`, or name another with"
                f" --endpoint{further}."
            ) from None
        except openai.NotFoundError as error:
            raise FaithfulError(
                f"{self.address} does not know what it is asked for ({first_line(error)}); does the address end in /v1, and"
                " is the model that of --explainer?"
            ) from None
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise RefusedError(f"{self.address} refuses a question: {first_line(error)}.") from None
        except openai.APIError as error:
            raise FaithfulError(f"{self.address} did not answer: {first_line(error)}{further}.") from None
        except (ValueError, AttributeError, TypeError, LookupError):  # the client hands on whatever came
            raise FaithfulError(
                f"{self.address} does not answer as OpenAI's interface does; name another with --endpoint."
            ) from None


def _called(model: str) -> str:
    return PurePath(model).name if PurePath(model).is_absolute() else model


def _listed(names: list[str]) -> str:
    if len(names) > 8:
        return f"{len(names)} models, {', '.join(names[:8])} among them"
    return f"the models {', '.join(names)}" if len(names) > 1 else f"the model {names[0]}" if names else "no model"
