"""The command line as its users run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARKETSYNC = (sys.executable, "-c", "from marketsync.cli import main; main()")


def marketsync(config: Path, *arguments: str, code: int = 0) -> str:
    """What a command prints. Raises AssertionError where it ends with another code."""
    command = [*MARKETSYNC, "--config", str(config), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False, env=environ())
    assert code == done.returncode, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def told(config: Path, *arguments: str, code: int = 0) -> Any:
    """What a command prints with ``--json``."""
    return json.loads(marketsync(config, "--json", *arguments, code=code))


def environ() -> dict[str, str]:
    """The environment of a process that takes its configuration from nowhere else."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MARKETSYNC_")}
