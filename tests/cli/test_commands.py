"""Commands are found by name, and only the one that is used is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gress_ml.cli.commands import COMMANDS
from gress_ml.cli.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_under_its_name_with_a_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], prog_name="gress")
    assert result.exit_code == 0
    assert f"gress {name}" in result.output


def test_a_misspelt_command_is_answered_with_the_nearest_one() -> None:
    result = CliRunner().invoke(app, ["wrker"])
    assert result.exit_code == 2
    assert "Did you mean 'worker'" in result.output


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys\n"
        "from gress_ml.cli.main import app\n"
        "try: app(['schema', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*(m for m in sys.modules if m.startswith('gress_ml.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.rpartition(".")[2] for name in done.stderr.split()}
    assert loaded & set(COMMANDS) == {"schema"}
