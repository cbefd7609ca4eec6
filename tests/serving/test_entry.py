"""What a start does with the surroundings that it finds."""

from __future__ import annotations

import subprocess
import sys

from server import ROOT

from reweight.serving.entry import unheeded

BARE = """
from reweight.serving.entry import have_console
have_console()
import sys
with open(sys.argv[1], "w", encoding="utf-8") as file:
    assert file.fileno() > 2
    print("to nobody"), print("to nobody", file=sys.stderr)
    sys.stdout.flush(), sys.stderr.flush()
    file.write("written")
"""


def test_without_a_console_nothing_is_written_into_another_file(tmp_path):
    file = tmp_path / "file"
    code = ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, BARE, str(file)]
    assert subprocess.run(code, cwd=ROOT, timeout=60, check=False).returncode == 0
    assert file.read_text(encoding="utf-8") == "written"


def test_gradios_settings_that_would_open_the_demo_are_not_heeded():
    given = dict.fromkeys(
        ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_DEBUG", "GRADIO_TEMP_DIR", "GRADIO_SERVER_PORT", "PATH"), "x"
    )
    assert unheeded(given) == ["GRADIO_ALLOWED_PATHS", "GRADIO_DEBUG", "GRADIO_SHARE"]
