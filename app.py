"""Entry for `python app.py` and for Hugging Face Spaces."""

from __future__ import annotations

import argparse
import os
import socket
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: no spinning while others work
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

JOB_SECONDS = 600  # of one visitor's job on a public demo


def check_free(host: str, port: int) -> None:
    """Exit with a sentence when nothing can listen there, before anything is loaded."""
    if not 0 < port < 65536:
        sys.exit(f"There is no port {port}: choose one from 1 to 65535.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError:
        sys.exit(
            f"Nothing can listen on {host}, port {port}: the port is in use or not allowed; choose another with --port."
        )


def main() -> None:
    """Read the options, load the models, serve the page."""
    parser = argparse.ArgumentParser(
        description="See which U-Net block matters at which denoising step, and re-weight it."
    )
    parser.add_argument("--local", action="store_true", help="allow any hub id or folder as a model, for you alone")
    parser.add_argument(
        "--model", default=None, help="the model to start with: a name, or with --local a folder or hub id"
    )
    parser.add_argument(
        "--models", default=os.environ.get("REWEIGHT_MODELS", ""), help="further models to serve, separated by commas"
    )
    parser.add_argument(
        "--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="address to listen on"
    )
    parser.add_argument(
        "--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"), help="port to listen on"
    )
    options = parser.parse_args()
    check_free(options.host, options.port)

    from reweight.engine.engine import Engine
    from reweight.models.folder import ModelError
    from reweight.models.registry import DEFAULT, REGISTRY
    from reweight.probing.checkpoints import own_folder
    from reweight.ui import build_demo, launch_options

    named = [name.strip() for name in options.models.split(",") if name.strip()]
    embedded = [key for key, card in REGISTRY.items() if card.embedded]
    models = tuple(dict.fromkeys([options.model or DEFAULT, *named, *embedded]))
    engine = (
        Engine(models, local=True, unfinished=own_folder()) if options.local else Engine(models, seconds=JOB_SECONDS)
    )
    try:
        for name in models[:1] if options.local else models:
            engine.opened(name)
    except ModelError as error:
        sys.exit(str(error))
    try:
        demo = build_demo(engine)
        demo.launch(server_name=options.host, server_port=options.port, **launch_options(demo))
    except OSError:
        sys.exit(f"Port {options.port} is in use: choose another with --port.")
    finally:
        engine.close()


if __name__ == "__main__":
    main()
