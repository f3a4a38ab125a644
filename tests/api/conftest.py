"""Leave TensorFlow alone where only quick tests are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

IMPORT_TENSORFLOW = {"test_circles.py", "test_function.py", "test_gradient.py", "test_layer.py"}
"""All of whose tests are slow, since the import takes seconds; they are not even collected without those."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.getoption("markexpr") == "not slow" and collection_path.name in IMPORT_TENSORFLOW:
        return True
    return None
