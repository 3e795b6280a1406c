"""Shared fixtures: tiny models of every family, built once per session, and no network."""

import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from tests.families import FAMILIES, build_family


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests may take longest are begun first: none is left to one process at the end."""
    longest: dict[Path, float] = {}
    for item in items:
        marks = [float(mark.args[0]) for mark in item.iter_markers("timeout")]
        longest[item.path] = max([longest.get(item.path, 0.0), *marks])
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a family's tiny model, built on first use. Never change it: copy it first."""
    root, built = tmp_path_factory.mktemp("families"), {}

    def folder(name: str) -> Path:
        if name not in built:
            built[name] = build_family(name, root / f"tiny-{name}")
        return built[name]

    return folder


@pytest.fixture(scope="session")
def family_model(family_folder: Callable[[str], Path]) -> Callable[[str], tuple[ModelSpec, Any]]:
    """Spec and float32 model of a family, loaded on first use."""
    loaded: dict[str, tuple[ModelSpec, Any]] = {}

    def model(name: str) -> tuple[ModelSpec, Any]:
        if name not in loaded:
            spec = resolve_model(str(family_folder(name)))
            loaded[name] = spec, load_model(spec, "cpu")
        return loaded[name]

    return model


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Runs a test once for every family."""
    return request.param
