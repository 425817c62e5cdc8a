"""The first configuration: a commented file, the key it refers to, and the schema for editors."""

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from marketsync.adapter.spec import AdapterSpec
from marketsync.config.schema import schema_text
from marketsync.config.secrets import new_key


def init_text() -> str:
    """The commented ``marketsync.yaml``; it refers to ``marketsync.key`` and ``marketsync.schema.json`` beside it."""
    return files("marketsync.config").joinpath("init.yaml").read_text("utf-8")


def begin(folder: Path, specs: Mapping[str, AdapterSpec]) -> tuple[Path, ...]:
    """Write the configuration, a new key (mode 0600) and the schema into ``folder``, and return the three files.

    Nothing is overwritten but a schema: raises FileExistsError where there is a configuration or a key already, and
    OSError where the folder cannot be written.
    """
    config, key, schema = (folder / f"marketsync.{ending}" for ending in ("yaml", "key", "schema.json"))
    if config.exists():
        raise FileExistsError(str(config))
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(new_key() + "\n")
    schema.write_text(schema_text(specs), "utf-8")
    with config.open("x", encoding="utf-8") as file:
        file.write(init_text())
    return config, key, schema
