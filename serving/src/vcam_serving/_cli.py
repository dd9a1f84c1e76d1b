"""The command `vcam-serve`."""

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from vcam_client._streams import standard_streams
from vcam_client.errors import ServableError, VcamError
from vcam_serving._folders import check_root
from vcam_serving.home import writable_home

if TYPE_CHECKING:
    from vcam_serving import EmbeddedServer

# Exit codes.
_FAILED = 1
_NOTHING_LOADS = 255  # as TensorFlow Serving's
_SIGNALLED = 128

_GLANCE_SECONDS = 0.2
# {address of every network: where this machine itself asks}
_EVERY_NETWORK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
# What `vcam-client` asks when it isn't told.
_CLIENT_DEFAULT_SERVER, _CLIENT_DEFAULT_MODEL = "127.0.0.1:8500", "default"
_MAX_PORT = 65535


class _Command(click.Command):
    """A command for any user, and for whatever reads its output."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with standard_streams("vcam-serve"), writable_home():
            return super().main(*args, **kwargs)


@click.command(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, _MAX_PORT),
    default=8500,
    show_default=True,
    help="Port of gRPC; 0 takes a free one.",
)
@click.option(
    "--rest-port",
    type=click.IntRange(0, _MAX_PORT),
    default=8501,
    show_default=True,
    help="Port of REST; 0 takes a free one.",
)
@click.option("--rest/--no-rest", default=True, show_default=True, help="Serve REST beside gRPC.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address or name to bind: ::1 for IPv6; 0.0.0.0 or :: for every network.",
)
@click.option(
    "--file-system-poll-wait-seconds",
    "poll_wait_seconds",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Pause between two looks for new versions; 0 looks only once.",
)
@click.option(
    "--enable-serialization-as-tensor-content/--no-enable-serialization-as-tensor-content",
    "tensor_content",
    default=False,
    show_default=True,
    help="Answer with tensor_content instead of typed fields; needs --no-rest.",
)
@click.option(
    "--grpc-max-threads",
    type=click.IntRange(min=1),
    show_default="4 per CPU, at least 64",
    help="gRPC calls at once; more are refused.",
)
@click.option(
    "--rest-api-enable-cors-support/--no-rest-api-enable-cors-support",
    "cors",
    default=False,
    show_default=True,
    help="Let the pages of any web site read what REST answers.",
)
def main(
    path: Path,
    port: int,
    rest_port: int,
    rest: bool,
    host: str,
    poll_wait_seconds: float,
    tensor_content: bool,
    grpc_max_threads: int | None,
    cors: bool,
) -> None:
    """Serve PATH the way TensorFlow Serving does, on this machine.

    PATH is a folder of versions (1, 2, …), served as the model "default", or a
    folder of models, each served by its name. New versions are picked up while
    the server runs.
    """
    _prepare_logging()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stopper(stopped))
    try:
        check_root(path)
        from vcam_serving.quiet import import_tensorflow

        import_tensorflow()
        from vcam_serving._embedded import EmbeddedServer

        server = EmbeddedServer(
            path,
            host=host,
            port=port,
            rest_port=rest_port if rest else None,
            poll_wait_seconds=poll_wait_seconds,
            tensor_content=tensor_content,
            grpc_max_threads=grpc_max_threads,
            cors=cors,
        )
        with server:
            if not server.wait_until_open(0):
                click.echo(f"Nothing to serve in '{path}' yet; the ports open with a version.")
            while not stopped.is_set() and not server.wait_until_open(_GLANCE_SECONDS):
                pass
            if not stopped.is_set():
                click.echo(_greeting(path, server))
            stopped.wait()
            click.echo("Stopping.")
    except VcamError as error:
        click.echo(f"vcam-serve: {error}", err=True)
        sys.exit(_NOTHING_LOADS if isinstance(error, ServableError) else _FAILED)


def _greeting(path: Path, server: "EmbeddedServer") -> str:
    models = server.available()
    name = next(iter(models))
    width = max(map(len, [*models, "gRPC"]))
    host, port = server.address.rsplit(":", 1)
    host = _EVERY_NETWORK.get(host, host)
    client = ["vcam-client", "predict", "scan.nii"]
    if f"{host}:{port}" != _CLIENT_DEFAULT_SERVER:
        client += ["--server", f"{host}:{port}"]
    if name != _CLIENT_DEFAULT_MODEL:
        client += ["--model", name]
    where = f"http://{server.rest_address}/v1/models/{quote(name)}"
    rest = [f"  {'REST':{width}}  {where}"] if server.rest_address else []
    return "\n".join(
        [
            f"Serving '{path}'",
            *(f"  {model:{width}}  version {versions[0]}" for model, versions in models.items()),
            f"  {'gRPC':{width}}  {server.address}",
            *rest,
            "",
            "Next, in another terminal:",
            f"  {shlex.join(client)}",
        ]
    )


def _prepare_logging() -> None:
    # What fails in TensorFlow is told in the status of a call or of a version.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%X")
    logging.getLogger("vcam_serving").setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _stopper(stopped: threading.Event) -> Callable[[int, FrameType | None], None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():  # asked twice: at once
            os._exit(_SIGNALLED + number)
        stopped.set()

    return stop
