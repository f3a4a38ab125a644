"""`softargmax devices`: what TensorFlow can use here, as a bug report needs it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.saying import FAILED, say_error
from softargmax_cli.errors import SoftArgmaxError
from softargmax_cli.tensorflow.choice import TRIED, VARIABLE, Loader, tried

Format = Annotated[
    Literal["table", "json"], typer.Option(help="Lines for people; json.", rich_help_panel=options.OUTPUT)
]


def devices(format: Format = "table", verbose: options.Verbose = False) -> int:
    """Show what TensorFlow can use here, and what a bug report should say.

    softargmax devices

    softargmax devices --format json | jq .cuda
    """
    runtime, error = _started(verbose=verbose)
    facts = _facts(runtime)
    if format == "json":
        from softargmax_cli.files.writers.json import escaped

        text = escaped(json.dumps(facts, ensure_ascii=False, indent=1))
    else:
        from softargmax_cli.report.text import listed

        text = "\n".join(listed(_entries(facts), sys.stdout))
    print(text, flush=True)
    if error is None:
        return 0
    say_error(error, verbose=verbose)
    return FAILED


def _started(*, verbose: bool) -> tuple[dict[str, str | None], SoftArgmaxError | None]:
    """Start TensorFlow as a run does: which runtime it is and why, and the error where there is none."""
    import os

    notes: list[str] = []
    told: dict[str, str | None] = {"name": None, "forced": os.environ.get(VARIABLE) or None, "note": None}
    try:
        loader = Loader("cpu", verbose=verbose)
        told["name"] = loader.runtime(notes.append).name
    except SoftArgmaxError as error:
        return told, error
    return {**told, "note": "; ".join(notes[:-1]) or None}, None


def _facts(runtime: dict[str, str | None]) -> dict[str, Any]:
    """Collect all that there is to say."""
    import os
    import platform
    from importlib import metadata
    from importlib.util import find_spec
    from pathlib import Path

    from softargmax_cli import __version__
    from softargmax_cli.reduction.parallel import cores
    from softargmax_cli.tensorflow.survey import VISIBLE, driver_version, surveyed

    installed = {(found.name or "").lower(): found.version for found in metadata.distributions()}
    spec, survey = find_spec("tensorflow"), surveyed()
    path = str(Path(spec.origin).parent) if spec and spec.origin else None
    usable = survey.error is None and any(device["name"].startswith("GPU") for device in survey.devices)
    return {
        "softargmax": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: installed.get(name) for name in ("numpy", "polars", "pyarrow")},
        "platform": platform.platform(),
        "cores": cores(),
        "tensorflow": {"version": survey.version, "path": path, "tried": TRIED},
        "runtime": runtime,
        "devices": survey.devices,
        "cuda": {
            "usable": usable,
            "why_not": None if usable else survey.no_gpu()[0],
            "built_with": survey.cuda,
            "cudnn": survey.cudnn,
            "driver": driver_version(),
            "packages": [f"{name} {installed[name]}" for name in sorted(installed) if name.startswith("nvidia-")],
            "visible_devices": os.environ.get(VISIBLE),
        },
    }


def _entries(facts: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Name and lines of each fact, for people."""
    tensorflow, cuda, runtime = facts["tensorflow"], facts["cuda"], facts["runtime"]
    version = tensorflow["version"] or "unknown version"
    untried = "" if tried(version) else f" (this program was tried with {tensorflow['tried']})"
    kinds = {
        "native": "native: TensorFlow's C library, on the CPU",
        "python": "python: import tensorflow",
        None: "none can be used",
    }
    why = f"{VARIABLE}={runtime['forced']}" if runtime["forced"] else runtime["note"]
    driver = cuda["driver"] and f"for CUDA {cuda['driver']} and older"
    return [
        ("softargmax", [facts["softargmax"]]),
        ("Python", [facts["python"]]),
        *((name, [facts[name.lower()] or "not installed"]) for name in ("NumPy", "polars", "pyarrow")),
        ("platform", [facts["platform"]]),
        ("cores", [str(facts["cores"])]),
        ("TensorFlow", [f"{version} in {tensorflow['path']}{untried}" if tensorflow["path"] else "not installed"]),
        ("runtime", [kinds[runtime["name"]] + (f" ({why})" if why else "")]),
        ("devices", [", ".join(filter(None, device.values())) for device in facts["devices"]] or ["none"]),
        ("GPU", ["usable" if cuda["usable"] else f"cannot be used: {cuda['why_not']}"]),
        ("built with", [f"CUDA {cuda['built_with']}, cuDNN {cuda['cudnn']}" if cuda["built_with"] else "not told"]),
        ("NVIDIA driver", [driver or "none found"]),
        ("packages", cuda["packages"] or ["no nvidia-* package"]),
        ("CUDA_VISIBLE_DEVICES", ["not set" if cuda["visible_devices"] is None else repr(cuda["visible_devices"])]),
    ]
