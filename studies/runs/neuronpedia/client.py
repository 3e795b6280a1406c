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
            from neuronpedia.requests.base_request import NPRequest
        except ImportError:
            raise FaithfulError(f"The client of Neuronpedia is not installed; install it with `{INSTALL}`.") from None
        if server is not None and not server.startswith(("http://", "https://")):
            raise FaithfulError(f"'{server}' is no address; write it as http://localhost:3000.")
        if not os.environ.get(KEY):
            raise FaithfulError(f"{KEY} is not set; set it to the key of your account at Neuronpedia.")
        self.address = (server or NPRequest.BASE_URL.removesuffix("/api")).rstrip("/")

    def make_model(self, name: str, layers: int, shown: str) -> None:
        """Make a model there."""
        from neuronpedia.requests.model_request import ModelRequest

        with self._spoken(f"the model {name} (if it is there already, leave --new-model out)"):
            self._told(ModelRequest()).new(name, layers, shown)

    def make_set(self, model: str, name: str, description: str) -> None:
        """Make a source set there, with a source for each layer, where there is none of its name."""
        from neuronpedia.requests.source_set_request import SourceSetRequest

        if not self._has(SourceSetRequest(), f"{model}/{name}", "name", name):
            with self._spoken(f"the source set {name}"):
                self._told(SourceSetRequest()).new(name, model, description)

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
        with self._spoken(f"latents of {source}"):
            features = [_feature(model, source, one) for one in body["features"]]
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
        """A request of the client's to this server, which does not wait for ever."""
        request.BASE_URL = f"{self.address}/api"
        request.send_request = partial(request.send_request, timeout=PATIENCE)
        return request

    @contextmanager
    def _spoken(self, what: str) -> Iterator[None]:
        """The client prints, and its errors are many."""
        from neuronpedia.requests.base_request import NPInvalidResponseError, NPRateLimitError, NPUnauthorizedError
        from requests import ConnectionError as NotReached
        from requests import RequestException, Timeout

        try:
            with redirect_stdout(StringIO()):
                yield
        except NPUnauthorizedError:
            raise FaithfulError(f"{self.address} does not know the key in {KEY}; take it from your account.") from None
        except NPRateLimitError:
            raise FaithfulError(
                f"{self.address} takes no more requests for now (its rate limit); run the same command later: it goes on"
                " from here."
            ) from None
        except (NotReached, Timeout):
            raise FaithfulError(
                f"{self.address} does not answer, asked for {what}; the same command goes on from here."
            ) from None
        except (NPInvalidResponseError, RequestException) as error:
            raise FaithfulError(
                f"{self.address} did not take {what}: {first_line(error)}; the same command goes on from here."
            ) from None


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
