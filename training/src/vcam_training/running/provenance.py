"""Which code and libraries a model was made with."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("keras", "numpy", "tensorflow", "vcam-client", "vcam-serving", "vcam-training")


def library_versions() -> dict[str, str]:
    """{name: version} of Python and of what decides about a model."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def machine() -> str:
    """What training runs on, in words, such as "2 cores of x86_64, CPU"."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    device = ", ".join(name or "GPU" for name in names) or "no GPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores ({platform.machine()}), {device}"


def code_version() -> str:
    """The version of vcam-training, and the commit where it runs from a checkout."""
    installed = version("vcam-training")
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return installed
    changed = "-changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{installed}+{commit}{changed}"


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    try:
        result = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
