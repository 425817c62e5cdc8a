"""The command line. It only talks to the layers below; whatever is heavy is imported by the command that needs it."""

from marketsync.cli.main import main

__all__ = ["main"]
