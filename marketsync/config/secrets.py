"""References to secrets: ``${env:X}``, ``${file:/run/secrets/x}``, ``${credential:x}`` (systemd's credentials).

They are replaced after the YAML was parsed, so what a secret contains is text and nothing else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

_REFERENCE = re.compile(r"\$\{([^}]*)\}?")
_LARGEST = 1024 * 1024  # bytes; a file that is larger is no secret
_FORMS = "write ${env:NAME}, ${file:/path} or ${credential:name}"


@dataclass(slots=True)
class Secrets:
    """Resolves references, and remembers every value so that no message repeats it."""

    environment: Mapping[str, str]
    values: dict[str, str] = field(default_factory=dict)  # value -> the reference that it came from

    def resolve(
        self, text: str, folder: Path, refuse: Callable[[str, str], None], warn: Callable[[str, str], None]
    ) -> str:
        """``text`` with its references replaced; relative files start at ``folder``.

        Calls ``refuse(message, hint)`` for what cannot be resolved, ``warn`` for a file that others may read.
        """

        def replaced(match: re.Match[str]) -> str:
            kind, _, name = match[1].partition(":")
            if not match[0].endswith("}") or kind not in ("env", "file", "credential") or not name:
                refuse(f"{match[0]} is no reference to a secret", f"{_FORMS}; a literal ${{ goes into a file")
                return ""
            try:
                value = self._value(kind, name, folder, warn)
            except _Missing as missing:
                refuse(missing.message, missing.hint)
                return ""
            self.values[value] = match[0]
            return value

        whole = _REFERENCE.sub(replaced, text)
        if whole != text:
            self.values[whole] = text
        return whole

    def masked(self, message: str) -> str:
        """``message`` with every resolved value replaced by its reference, also in the forms that repr gives it."""
        for value, reference in sorted(self.values.items(), key=lambda pair: -len(pair[0])):
            for form in (value, repr(value)[1:-1]):
                # A value of a few letters is part of ordinary words: hiding it there would tell more than it hides.
                if len(form) >= 4:
                    message = message.replace(form, reference)
        return message

    def _value(self, kind: str, name: str, folder: Path, warn: Callable[[str, str], None]) -> str:
        if kind == "env":
            if name not in self.environment:
                raise _Missing(f"the environment has no variable {name}", f"set {name} where marketsync is started")
            return self.environment[name]
        if kind == "file":
            return _read(folder / name, "create it, readable by marketsync alone (mode 0640)", warn)
        credentials = self.environment.get("CREDENTIALS_DIRECTORY")
        if credentials is None:
            raise _Missing(
                f"there is no credential {name}, CREDENTIALS_DIRECTORY is not set",
                f"start marketsync by systemd with LoadCredential={name}:/path, or write ${{file:/path}}",
            )
        if "/" in name or name in (".", ".."):
            raise _Missing(f"{name} is no name of a credential", "name it as LoadCredential= does, without a folder")
        return _read(Path(credentials) / name, f"add LoadCredential={name}:/path to the systemd unit", warn)


class _Missing(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def _read(path: Path, hint: str, warn: Callable[[str, str], None]) -> str:
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode & 0o777
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no usable path"
        raise _Missing(f"the secret in {path} cannot be read: {reason}", hint) from None
    if len(content) > _LARGEST:
        raise _Missing(f"{path} is larger than 1 MiB, that is no secret", "name the file that holds only the secret")
    try:
        value = content.decode()
    except UnicodeDecodeError:
        raise _Missing(f"{path} holds bytes that are no UTF-8 text", "store the secret as UTF-8 text") from None
    if mode & 0o027:
        warn(f"{path} has mode {mode:04o}, so other users may read or change it", f"chmod 0640 {path}")
    return value.rstrip("\r\n")


def new_key() -> str:
    """A new key for ``key:``, which encrypts tokens and buyers in the ledger."""
    return Fernet.generate_key().decode()
