"""`python app.py` and `reweight demo`: options, environment, models, then the page."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .files import Scratch
    from .server import Stop

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # no busy waiting while other processes need the cores
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",  # otherwise Gradio computes statistics of all events after each event
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "FORWARDED_ALLOW_IPS": "none",  # whom a proxy names is looked at in serving, where one is said to be there
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
}
HEEDED = ("GRADIO_TEMP_DIR", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH")
JOB_SECONDS = 600  # time limit of a visitor's job on a public demo


def prepare() -> None:
    """Set environment variables that torch, Gradio and other libraries read on import; the user's own are kept."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def unheeded(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of Gradio's environment variables that the demo ignores, because they would open folders to everybody, start
    a public tunnel, let the page edit the code, or block the start."""
    own = {*HEEDED, *ENVIRONMENT}
    return sorted(name for name in environment if name.startswith("GRADIO_") and name not in own)


def have_console() -> None:
    """Open the null device for missing standard streams, before another file or connection gets their file descriptors
    and output is written to it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def lender() -> Any:
    """The decorator that requests a GPU for each call on a ZeroGPU Space, where the package `spaces` is installed; else
    None.

    It must be called before torch is imported, because `spaces` patches torch.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return None
    try:
        from spaces import GPU
    except ImportError:
        sys.exit("This Space's hardware is ZeroGPU, which needs the package spaces: add it to requirements.txt.")
    return GPU


def options_of(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog=program, description="See which U-Net block matters at which denoising step, and re-weight it."
    )
    parser.add_argument(
        "--local", action="store_true", help="allow any hub id or folder as a model; for your own use only"
    )
    parser.add_argument(
        "--model", default=None, help="the model to start with: a name, or with --local a folder or hub id"
    )
    parser.add_argument(
        "--models", default=os.environ.get("REWEIGHT_MODELS", ""), help="further models to serve, separated by commas"
    )
    parser.add_argument(
        "--autoencoders", default=os.environ.get("REWEIGHT_AUTOENCODERS", ""),
        help="folders of small autoencoders (AutoencoderTiny) for models, as NAME=FOLDER, separated by commas",
    )  # fmt: skip
    parser.add_argument(
        "--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="address to listen on"
    )
    parser.add_argument(
        "--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"), help="port to listen on"
    )
    parser.add_argument(
        "--mcp", action="store_true", help="let MCP clients call the public endpoints, at /gradio_api/mcp/"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    """Read the options, load the models, and serve the page until the program is stopped."""
    have_console()
    prepare()
    for name in unheeded():
        del os.environ[name]
    options = options_of(arguments, program)
    lend = None if options.local else lender()
    if options.mcp and find_spec("mcp") is None:
        sys.exit('An MCP server needs one more package: pip install "gradio[mcp]".')
    from .address import NotThere, check_free
    from .files import NoRoom, Scratch
    from .logs import about, set_up
    from .server import Stop

    try:
        host = check_free(options.host, options.port)
        scratch = Scratch()
    except (NotThere, NoRoom) as error:
        sys.exit(str(error))
    os.environ.pop("GRADIO_SERVER_NAME", None)  # Gradio would try to bind to it, whatever its arguments are
    os.environ["GRADIO_TEMP_DIR"] = str(scratch.files)
    set_up(private=not options.local)
    stop = Stop(scratch.close)
    try:
        _serve(options, host, scratch, stop, lend)
    except Exception as error:
        what = " ".join(str(error).split()) or "no reason is given"
        _end(f"The demo cannot go on: {what} ({', '.join(about(error).values())}).")
    finally:
        scratch.close()
        stop.leave()


def _serve(options: argparse.Namespace, host: str, scratch: Scratch, stop: Stop, lend: Any = None) -> None:
    from ..engine.engine import Engine
    from ..engine.lent import LentEngine
    from ..models.folder import ModelError
    from ..models.registry import DEFAULT, REGISTRY
    from ..probing.checkpoints import own_folder
    from ..ui import build_demo, launch_options
    from .server import rules_for, serve

    named = [name.strip() for name in options.models.split(",") if name.strip()]
    embedded = [key for key, card in REGISTRY.items() if card.embedded]
    models = tuple(dict.fromkeys([options.model or DEFAULT, *named, *embedded]))
    pairs = [pair.partition("=") for pair in options.autoencoders.split(",") if pair.strip()]
    small = {name.strip(): Path(folder.strip()) for name, _, folder in pairs}
    if unknown := set(small) - set(models):
        _end(f"There is no model {sorted(unknown)[0]!r} here to have an autoencoder: name it in --models too.")
    if options.local:
        engine = Engine(models, local=True, unfinished=own_folder(), autoencoders=small)
    elif lend is not None:
        engine = LentEngine(models, seconds=JOB_SECONDS, autoencoders=small, lend=lend)
    else:
        engine = Engine(models, seconds=JOB_SECONDS, autoencoders=small)
    try:
        for name in models[:1] if options.local else models:
            engine.opened(name)
        if isinstance(engine, LentEngine):
            engine.get_ready()
        demo = build_demo(engine)
        serve(
            demo, engine, launch_options(demo), host=host, port=options.port, rules=rules_for(options.local, host, mcp=options.mcp),
            scratch=scratch, stop=stop, ready=lambda url: _say(f"Open {url}"),
        )  # fmt: skip
    except ModelError as error:
        _end(str(error))
    except OSError as error:
        _end(f"The page cannot be served at {host}, port {options.port}: {error.strerror or error}.")
    finally:
        engine.close()


def _end(text: str) -> NoReturn:
    """Exit with a sentence on the console, bypassing the log, which captures what libraries print."""
    (sys.__stderr__ or sys.stderr).write(f"{text}\n")
    sys.exit(1)


def _say(text: str) -> None:
    with suppress(OSError):  # its reader is gone
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
