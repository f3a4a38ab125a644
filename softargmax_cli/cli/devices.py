"""`softargmax devices`: versions and devices, for a bug report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from softargmax_cli.cli.messages import FAILED, say_error
from softargmax_cli.cli.options import VerboseOptions, grouped, option
from softargmax_cli.errors import SoftArgmaxError
from softargmax_cli.report.text import legible, listed
from softargmax_cli.tensorflow.choice import Loader


@dataclass(frozen=True)
class DevicesOptions(VerboseOptions):
    """The form in which facts are shown."""

    format: Literal["table", "json"] = option("table", "Output", "FORMAT", "Chooses table or json. Default: table.")


@grouped
def devices(*, shown: DevicesOptions) -> int:
    """Show versions and devices, for a bug report.

    \b
    softargmax devices
    softargmax devices --format json | jq .gpu
    """
    from softargmax_cli.files.writers.json import json_text

    notes: list[str] = []
    failure: SoftArgmaxError | None = None
    try:
        Loader("cpu", verbose=shown.verbose).runtime(notes.append)
    except SoftArgmaxError as error:
        failure = error
    facts = _facts(notes)
    if shown.format == "json":
        print(json_text(facts, indent=1), flush=True)
    else:
        several = {name: fact if isinstance(fact, list) else [fact] for name, fact in facts.items()}
        entries = {name: ["none" if one is None else str(one) for one in several[name] or [None]] for name in facts}
        print("\n".join(legible(line, sys.stdout) for line in listed(entries)), flush=True)
    if failure is not None:
        say_error(failure, verbose=shown.verbose)
    return 0 if failure is None else FAILED


def _facts(notes: list[str]) -> dict[str, Any]:
    """Collect all facts by their names; `notes` are those of the runtime on the CPU."""
    import os
    import platform
    from importlib import metadata
    from importlib.util import find_spec

    from softargmax_cli import __version__
    from softargmax_cli.reduction.budget import cores
    from softargmax_cli.tensorflow.survey import VISIBLE, driver_version, surveyed

    installed = {(found.name or "").lower(): found.version for found in metadata.distributions()}
    spec, survey = find_spec("tensorflow"), surveyed()
    usable = survey.error is None and any(device.startswith("GPU") for device in survey.devices)
    return {
        "softargmax": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: installed.get(name) for name in ("numpy", "polars", "pyarrow")},
        "platform": platform.platform(),
        "cores": cores(),
        "tensorflow": survey.version,
        "folder": os.path.dirname(spec.origin) if spec and spec.origin else None,
        "runtime": notes,
        "devices": survey.devices,
        "gpu": "usable" if usable else survey.no_gpu()[0],
        "built_with": survey.built_with,
        "nvidia_driver": driver_version(),
        "packages": [f"{name} {installed[name]}" for name in sorted(installed) if name.startswith("nvidia-")],
        VISIBLE: os.environ.get(VISIBLE),
    }
