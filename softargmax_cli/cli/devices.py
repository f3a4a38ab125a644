"""`softargmax devices`: what TensorFlow can use here, as a bug report needs it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from softargmax_cli.cli import options
from softargmax_cli.cli.saying import FAILED, say_error
from softargmax_cli.errors import DeviceError, SoftArgmaxError
from softargmax_cli.tensorflow.loading import VARIABLE, Loading

if TYPE_CHECKING:
    from softargmax_cli.tensorflow.base import Seen

Format = Annotated[
    Literal["table", "json"], typer.Option(help="Lines for people; json.", rich_help_panel=options.OUTPUT)
]


def devices(format: Format = "table", verbose: options.Verbose = False) -> int:
    """Show what TensorFlow can use here, and what a bug report should say.

    softargmax devices

    softargmax devices --format json | jq .cuda
    """
    facts, error = _gathered(verbose=verbose)
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


def _gathered(*, verbose: bool) -> tuple[dict[str, Any], SoftArgmaxError | None]:
    """All that there is to say, and why TensorFlow cannot be used where it cannot."""
    import os
    import platform

    from softargmax_cli import __version__
    from softargmax_cli.reduction.parallel import cores
    from softargmax_cli.tensorflow.surroundings import cuda, tensorflow_folder, tensorflow_version, version_of

    folder = tensorflow_folder()
    runtime, seen, error = _tried(verbose=verbose)
    around = cuda(folder)
    gpus = [device.name for device in seen if device.name.startswith("GPU:")]
    facts = {
        "softargmax": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": version_of("numpy"),
        "polars": version_of("polars"),
        "pyarrow": version_of("pyarrow"),
        "platform": platform.platform(),
        "cores": cores(),
        "tensorflow": {
            "version": runtime["version"] or tensorflow_version(folder),
            "path": None if folder is None else str(folder),
        },
        "runtime": {
            "name": runtime["name"],
            "forced": os.environ.get(VARIABLE) or None,
            "library_error": runtime["library_error"],
        },
        "devices": [
            {"name": device.name, "memory": device.memory, "description": device.description} for device in seen
        ],
        "device": runtime["device"],
        "cuda": {
            "usable": bool(gpus),
            "why_not": None if gpus else around.why_not(),
            "built_with": around.built_with,
            "cudnn": around.cudnn,
            "driver": around.driver.version,
            "driver_error": around.driver.error,
            "driver_gpus": list(around.driver.gpus),
            "packages": list(around.packages),
            "visible_devices": around.visible,
        },
    }
    return facts, error


def _tried(*, verbose: bool) -> tuple[dict[str, str | None], list[Seen], SoftArgmaxError | None]:
    """Start TensorFlow as a run does, and stop it again: what it is, and which devices it sees."""
    told: dict[str, str | None] = dict.fromkeys(("name", "version", "device", "library_error"))
    loading = None
    try:
        loading = Loading(verbose=verbose)
        runtime = loading.runtime("auto", lambda text: None)
        told |= {"name": runtime.name, "version": runtime.version, "device": runtime.device}
        seen = runtime.seen()
        runtime.close()
    except SoftArgmaxError as error:
        return told, [], error
    except ImportError as error:
        remedy = "install it with: pip install tensorflow"
        return told, [], DeviceError(f"TensorFlow cannot be imported: {error}", remedy)
    finally:
        if loading is not None:
            loading.close()
            told["library_error"] = loading.failure
    return told, seen, None


def _entries(facts: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The same for people."""
    from softargmax_cli.report.text import nbytes_text

    tensorflow, cuda = facts["tensorflow"], facts["cuda"]
    devices = []
    for device in facts["devices"]:
        memory = f"{nbytes_text(device['memory'])} for TensorFlow" if device["memory"] else ""
        default = "the default" if device["name"].partition(":0")[0] == facts["device"].partition(":0")[0] else ""
        devices.append(", ".join(filter(None, [device["name"], device["description"], memory, default])))
    driver = cuda["driver"] and f"for CUDA {cuda['driver']} and older"
    return [
        ("softargmax", [facts["softargmax"]]),
        ("Python", [facts["python"]]),
        ("NumPy", [facts["numpy"] or "not installed"]),
        ("polars", [facts["polars"] or "not installed"]),
        ("pyarrow", [facts["pyarrow"] or "not installed"]),
        ("platform", [facts["platform"]]),
        ("cores", [str(facts["cores"])]),
        ("TensorFlow", [f"{tensorflow['version']} in {tensorflow['path']}" if tensorflow["path"] else "not installed"]),
        ("runtime", [_runtime_text(facts["runtime"])]),
        ("devices", devices or ["none"]),
        ("CUDA", ["usable" if cuda["usable"] else f"not used: {cuda['why_not']}"]),
        ("built with", [f"CUDA {cuda['built_with']}, cuDNN {cuda['cudnn']}" if cuda["built_with"] else "no CUDA"]),
        ("driver", [driver or cuda["driver_error"] or "unknown", *cuda["driver_gpus"]]),
        ("packages", cuda["packages"] or ["no nvidia-* package"]),
        ("CUDA_VISIBLE_DEVICES", ["not set" if cuda["visible_devices"] is None else repr(cuda["visible_devices"])]),
    ]


def _runtime_text(runtime: dict[str, str | None]) -> str:
    kinds = {
        "native": "native: TensorFlow's C library",
        "python": "python: import tensorflow",
        None: "none can be used",
    }
    if runtime["forced"]:
        why = f"{VARIABLE}={runtime['forced']}"
    elif runtime["library_error"]:
        why = f"the C library cannot be used: {runtime['library_error']}"
    else:
        why = f"the quicker one; {VARIABLE} is not set" if runtime["name"] else ""
    return kinds[runtime["name"]] + (f" ({why})" if why else "")
