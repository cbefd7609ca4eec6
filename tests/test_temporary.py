"""Nothing is left in the machine's temporary folder: what tests put aside goes with their run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import gradio_client.client


def test_temporary_files_of_tests_of_libraries_and_of_programs_they_start_are_the_runs_own(tmp_path_factory):
    asked = [sys.executable, "-Sc", "import tempfile; print(tempfile.gettempdir(), end='')"]
    other = subprocess.run(asked, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    folders = {tempfile.gettempdir(), other}
    if "GRADIO_TEMP_DIR" not in os.environ:
        folders.add(gradio_client.client.DEFAULT_TEMP_DIR)  # which it remembers as it is imported
    assert all(Path(folder).is_relative_to(tmp_path_factory.getbasetemp()) for folder in folders), folders
