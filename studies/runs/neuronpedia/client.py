"""Neuronpedia through its own client, which is an extra: what is asked of it, and what goes wrong in a sentence."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.hub.errors import first_line

KEY = "NEURONPEDIA_API_KEY"
INSTALL = "pip install 'faithful-sae[neuronpedia]'"
PATIENCE = 120.0
"""Seconds that a server may be silent; the client itself would wait for ever."""
ABSENT = "Resource not found"
EXISTS = "already exists"
PUBLIC = "https://neuronpedia.org"
GO_ON = "the same command goes on from here"


class RefusedError(FaithfulError):
    """The server has understood a request and did not take it: nothing of it is there."""


def address_of(server: str | None) -> str:
    """The address of a server as it is noted, the public one's where none is told.

    Raises:
        FaithfulError: it is none.
    """
    if server is not None and not server.startswith(("http://", "https://")):
        raise FaithfulError(f"'{server}' is no address; write it as http://localhost:3000.")
    return (server or PUBLIC).rstrip("/").removesuffix("/api")


class Neuronpedia:
    """A server, and the key that it knows the user by.

    Args:
        server: address of one that is not the public one.

    Attributes:
        address: of it.

    Raises:
        FaithfulError: the client is not installed, there is no key, or the address is none.
    """

    def __init__(self, server: str | None = None) -> None:
        try:
            import neuronpedia.requests.base_request  # noqa: F401
        except ImportError:
            raise FaithfulError(f"The client of Neuronpedia is not installed; install it with `{INSTALL}`.") from None
        self.address = address_of(server)
        if not os.environ.get(KEY):
            raise FaithfulError(f"{KEY} is not set; set it to the key of your account at Neuronpedia.")
        self._answer: tuple[int, str] | None = None

    def make_model(self, name: str, layers: int, shown: str) -> None:
        """Make a model there.

        Raises:
            RefusedError: with `EXISTS` where there is one of this id.
        """
        from neuronpedia.requests.model_request import ModelRequest

        with self._spoken(f"the model {name}"):
            self._told(ModelRequest()).new(name, layers, shown)

    def make_set(self, model: str, name: str, description: str) -> bool:
        """Make a source set there, with a source for each layer; False where there is one of its name."""
        from neuronpedia.requests.source_set_request import SourceSetRequest

        if self._has(SourceSetRequest(), f"{model}/{name}", "name", name):
            return False
        with self._spoken(f"the source set {name}"):
            self._told(SourceSetRequest()).new(name, model, description)
        return True

    def has_feature(self, model: str, source: str, index: int) -> bool:
        """Whether a latent is there."""
        from neuronpedia.requests.feature_request import FeatureRequest

        return self._has(FeatureRequest(), f"{model}/{source}/{index}", "index", str(index))

    def upload(self, body: Mapping[str, Any]) -> None:
        """Send a batch of latents.

        Args:
            body: of the request, which the client makes again of its own records.
        """
        from neuronpedia.requests.feature_request import FeatureRequest

        model, source = body["modelId"], body["source"]
        features = [_feature(model, source, one) for one in body["features"]]
        with self._spoken(f"latents of {source}"):
            self._told(FeatureRequest()).upload_batch(model, source, features)

    def _has(self, request: Any, place: str, key: str, value: str) -> bool:
        """Whether what is asked for is there; a server may also answer with nothing."""
        from requests import HTTPError

        with self._spoken(place):
            try:
                found = self._told(request).send_request(method="GET", uri=place)
            except HTTPError as error:
                if ABSENT in str(error):
                    return False
                raise
        return isinstance(found, dict) and str(found.get(key)) == value

    def _told(self, request: Any) -> Any:
        """A request of the client's to this server, which does not wait for ever and keeps the answer."""

        def keep(answer: Any, **_: Any) -> None:
            self._answer = answer.status_code, answer.text  # read here: what is cut off is no answer

        self._answer = None
        request.BASE_URL = f"{self.address}/api"
        request.send_request = partial(request.send_request, timeout=PATIENCE, hooks={"response": keep})
        return request

    @contextmanager
    def _spoken(self, what: str) -> Iterator[None]:
        """The client prints, and its errors are many."""
        from neuronpedia.requests.base_request import NPInvalidResponseError, NPRateLimitError, NPUnauthorizedError
        from requests import ConnectionError as NotReached
        from requests import RequestException, Timeout
        from requests.exceptions import ChunkedEncodingError as CutOff

        try:
            with redirect_stdout(StringIO()):
                yield
        except NPUnauthorizedError:
            raise RefusedError(f"{self.address} does not know the key in {KEY}; take it from your account.") from None
        except NPRateLimitError:
            raise RefusedError(
                f"{self.address} takes no more requests for now (its rate limit); run the same command later: it goes on"
                " from here."
            ) from None
        except (NotReached, Timeout, CutOff):
            raise FaithfulError(f"{self.address} does not answer, asked for {what}; {GO_ON}.") from None
        except (NPInvalidResponseError, RequestException, KeyError, TypeError) as error:
            raise self._sentence(what, error) from None

    def _sentence(self, what: str, error: Exception) -> FaithfulError:
        """What the server answered, where that is not what the client expects."""
        if self._answer is None:
            return FaithfulError(f"{self.address} did not take {what}: {first_line(error)}; {GO_ON}.")
        status, text = self._answer
        said = " ".join(text.split())[:200] or "nothing"
        if status >= 500:
            return FaithfulError(f"{self.address} did not take {what}: status {status}, {said}; {GO_ON}.")
        if status >= 400:
            return RefusedError(f"{self.address} refuses {what}: status {status}, {said}.")
        return FaithfulError(
            f"{self.address} does not answer as Neuronpedia does, asked for {what}: status {status}, {said}; is it the"
            " address of one?"
        )


def _feature(model: str, source: str, body: Mapping[str, Any]) -> Any:
    """A latent as the client has it."""
    from neuronpedia.np_activation import Activation
    from neuronpedia.np_explanation import Explanation
    from neuronpedia.np_feature import Feature

    of = (model, source, body["index"])
    return Feature(
        *of,
        density=body["density"],
        top_logits=_logits(body["topLogits"]),
        bottom_logits=_logits(body["bottomLogits"]),
        explanations=[
            Explanation(*of, one["text"], one["methodName"], one["modelName"]) for one in body["explanations"]
        ],
        activations=[Activation(*of, **one) for one in body["activations"]],
    )


def _logits(found: Sequence[Mapping[str, Any]] | None) -> Any:
    from neuronpedia.np_feature import Logit

    return None if found is None else [Logit(**one) for one in found]
