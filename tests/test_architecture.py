"""The house keeps its order: who imports whom, what lies at the top level, where the version is said.

Imports are read from the source with `ast`; nothing of the package is executed.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "softargmax_cli"

TOP_LEVEL = {"LICENSE", "README.md", "pyproject.toml", "samples", PACKAGE, "tests"}
"""Beside dot-files."""

GEOMETRY = ("reduction.blocks", "reduction.readable")
RESULTS = ("reduction.fields", "reduction.result")
MAY_IMPORT = {
    "errors": [],
    "tensorflow": ["errors", "tensorflow"],
    "reduction": ["errors", "reduction"],
    "files": ["errors", "files", *GEOMETRY, *RESULTS],
    "report": [
        "errors",
        "report",
        *RESULTS,
        *(f"reduction.{m}" for m in ("gradient", "sweep", "truth", "problem", "excerpt")),
    ],
    "cluster": ["errors", "files", "reduction", "tensorflow", "cluster"],
    "api": ["errors", "files", "reduction", "tensorflow", "api"],
    "guide": [],
    "cli": [""],
    "__main__": ["cli"],
    "": [""],
}
"""For each part, the modules of the package that it may import, with all below them; "" is the whole package."""

EXCEPTIONS = {"reduction.engine": ["tensorflow"]}
"""The engine drives the runtime; the rest of the reduction may name it in annotations (`if TYPE_CHECKING`)."""

KNOWS_TENSORFLOW = {"tensorflow", "api"}
ONLY_OUTSIDERS = {
    "errors": set(),
    "tensorflow": {"numpy", "tensorflow"},
    "reduction": {"numpy"},
    "cluster": {"numpy", "distributed"},
    "api": {"numpy", "tensorflow", "keras"},
}
"""Packages that are neither the standard library's nor ours, where only these are welcome."""

LIGHT_OUTSIDERS = {"typer"}
"""What the package itself and the command line may load before a command runs."""
LATE = {"cli.answer"}
"""Modules of the command line that are loaded when a command runs."""


class Import(NamedTuple):
    """One imported module, by its full name."""

    name: str
    line: int
    at_load: bool
    """Executed when the module is loaded: outside functions and `if TYPE_CHECKING`."""
    for_typing: bool


def source_files(root: Path) -> dict[str, Path]:
    """Every module of the package below `root` by its name within the package; "" is the package itself."""
    names = {}
    for file in sorted((root / PACKAGE).rglob("*.py")):
        parts = file.relative_to(root / PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


def imports(file: Path, modules: dict[str, Path]) -> list[Import]:
    """All imports of one module; `from a import b` counts as a.b where that is a module of ours."""
    found = []

    def visit(node: ast.AST, in_function: bool, for_typing: bool) -> None:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            inner = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix(f"{PACKAGE}.") in modules else base for name in inner]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names = [str(node.args[0].value)] if called in {"import_module", "__import__"} else []
        if names:
            line = getattr(node, "lineno", 0)
            found.extend(Import(name, line, not in_function and not for_typing, for_typing) for name in names)
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside, for_typing or typing)

    visit(ast.parse(file.read_text(encoding="utf-8"), str(file)), False, False)
    return found


def below(name: str, allowed: list[str]) -> bool:
    """Whether a module is one of those allowed, or lies in one."""
    return any(place in ("", name) or name.startswith(f"{place}.") for place in allowed)


def loaded_outsiders(module: str, known: dict[str, list[Import]], seen: set[str]) -> Iterator[tuple[str, str]]:
    """What loading a module brings in from outside, through our own modules too: (by which module, which package)."""
    if module in seen:
        return
    seen.add(module)
    for found in known[module]:
        top, *parts = found.name.split(".")
        if found.at_load and top == PACKAGE:
            for length in range(len(parts) + 1):  # importing a.b.c loads a and a.b first
                if (inner := ".".join(parts[:length])) in known:
                    yield from loaded_outsiders(inner, known, seen)
        elif found.at_load and top not in sys.stdlib_module_names:
            yield module, top


def breaches(root: Path) -> list[str]:
    """Every import below `root` that the order of the house forbids, as one line of text."""
    modules = source_files(root)
    known = {module: imports(file, modules) for module, file in modules.items()}
    lines = []
    for module, found in known.items():
        part = module.partition(".")[0]
        if part not in MAY_IMPORT:
            lines.append(f"{module}: no part of the house; give it a place in MAY_IMPORT")
            continue
        allowed = MAY_IMPORT[part] + EXCEPTIONS.get(module, [])
        for one in found:
            top, _, inner = one.name.partition(".")
            where = f"{module or PACKAGE}, line {one.line}"
            if top == PACKAGE:
                typed = part == "reduction" and one.for_typing and below(inner, ["tensorflow"])
                if not typed and not below(inner, allowed):
                    lines.append(f"{where}: imports {inner or 'the package itself'}")
            elif top == "tensorflow" and part not in KNOWS_TENSORFLOW:
                lines.append(f"{where}: knows TensorFlow")
            elif not top or (part in ONLY_OUTSIDERS and top not in ONLY_OUTSIDERS[part] | sys.stdlib_module_names):
                lines.append(f"{where}: imports {one.name}")
        if part in ("", "cli") and module not in LATE:
            welcome = LIGHT_OUTSIDERS if part == "cli" else set()
            for through, outsider in loaded_outsiders(module, known, set()):
                if outsider not in welcome:
                    lines.append(f"{module or PACKAGE}: loads {outsider} at once, through {through or PACKAGE}")
    return lines


def test_imports_go_one_way() -> None:
    assert breaches(ROOT) == []


def test_the_version_is_said_once() -> None:
    package = ROOT / PACKAGE / "__init__.py"
    (version,) = re.findall(r'(?m)^__version__ = "(.+)"$', package.read_text(encoding="utf-8"))
    again = re.compile(rf"(?<![\w.]){re.escape(version)}(?![\w.])|^__version__ *[:=]|^version *=", re.MULTILINE)
    for file in (ROOT / "pyproject.toml", ROOT / "README.md", *source_files(ROOT).values()):
        assert len(again.findall(file.read_text(encoding="utf-8"))) == 2 * (file == package), file


def test_the_top_level_holds_nothing_else() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git ls-files: {done.stderr.strip()}")
    names = {name.partition("/")[0] for name in done.stdout.split("\0") if name}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


SOUND = {
    "__init__.py": '"""A house."""\n\n__version__ = "1.2.3"\n',
    "__main__.py": "from softargmax_cli.cli.app import main\n",
    "errors.py": "import math\n",
    "tensorflow/__init__.py": "",
    "tensorflow/base.py": "import tensorflow\nfrom softargmax_cli.errors import E\n",
    "reduction/__init__.py": "",
    "reduction/blocks.py": "import numpy as np\n",
    "reduction/result.py": "from softargmax_cli.reduction import blocks\n",
    "reduction/engine.py": "from softargmax_cli.tensorflow.base import Runtime\n",
    "reduction/kernel.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from softargmax_cli.tensorflow import base\n"
    ),
    "files/__init__.py": "",
    "files/npy.py": "import pyarrow\nfrom softargmax_cli.reduction.blocks import Block\n",
    "report/__init__.py": "",
    "report/table.py": "import rich\nfrom softargmax_cli.reduction.result import Run\n",
    "cli/__init__.py": "",
    "cli/app.py": "import typer\nfrom softargmax_cli import __version__\nfrom softargmax_cli.cli import run\n",
    "cli/run.py": "def run():\n    import numpy\n    from softargmax_cli.reduction import engine\n",
}

WRONG = [
    ("errors.py", "import softargmax_cli.files", "errors, line 1: imports files"),
    ("errors.py", "import numpy", "errors, line 1: imports numpy"),
    ("tensorflow/__init__.py", "from ..files import npy", "tensorflow, line 1: imports ..files"),
    ("reduction/blocks.py", "def f():\n    import tensorflow", "reduction.blocks, line 2: knows TensorFlow"),
    ("report/table.py", 'import_module("tensorflow.io")', "report.table, line 1: knows TensorFlow"),
    ("cli/run.py", "try:\n    import rich\nfinally:\n    pass", "cli.run: loads rich at once, through cli.run"),
    ("cli/run.py", "import softargmax_cli.reduction.blocks", "cli.app: loads numpy at once, through reduction.blocks"),
    ("__init__.py", "from softargmax_cli.cli import app", "softargmax_cli: loads typer at once, through cli.app"),
    ("utils.py", "", "utils: no part of the house; give it a place in MAY_IMPORT"),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A made-up tree that keeps every rule."""
    for name, text in SOUND.items():
        file = tmp_path / PACKAGE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("name", "text", "breach"), WRONG, ids=[f"{name}: {text}" for name, text, _ in WRONG])
def test_each_rule_can_be_broken(house: Path, name: str, text: str, breach: str) -> None:
    assert breaches(house) == []
    (house / PACKAGE / name).write_text(text, encoding="utf-8")
    assert breach in breaches(house)
