"""Nothing is left in the machine's temporary folder: what tests put aside goes with their run."""

import subprocess
import sys
import tempfile
from pathlib import Path


def test_temporary_files_of_tests_and_of_programs_they_start_are_the_runs_own(tmp_path_factory):
    asked = [sys.executable, "-Sc", "import tempfile; print(tempfile.gettempdir(), end='')"]
    other = subprocess.run(asked, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    assert other == tempfile.gettempdir()
    assert Path(other).is_relative_to(tmp_path_factory.getbasetemp())
