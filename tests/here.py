"""The command line in this process: what `main` prints and its exit status, without another interpreter's start."""

import contextlib
import io
import subprocess
import sys
from unittest import mock

from reweight.__main__ import main


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """As `python -m reweight ARGUMENTS`."""
    given = [str(argument) for argument in arguments]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["reweight", *given]),
        mock.patch.dict("os.environ", {"COLUMNS": "200"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    return subprocess.CompletedProcess(given, status, out.getvalue(), err.getvalue())
