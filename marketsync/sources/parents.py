"""Rows that other rows refer to, put aside in a temporary file: memory holds only where each one lies."""

import tempfile

import orjson


class Parents:
    """Keeps the cells of parent rows by their keys."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._places: dict[str, int] = {}

    def put(self, keys: tuple[str, ...], cells: list[str]) -> None:
        place = self._file.seek(0, 2)
        self._file.write(orjson.dumps(cells) + b"\n")
        for key in filter(None, keys):
            self._places.setdefault(key, place)

    def get(self, key: str) -> list[str] | None:
        """The cells of the parent of that key, None where there is none."""
        if (place := self._places.get(key)) is None:
            return None
        self._file.seek(place)
        cells: list[str] = orjson.loads(self._file.readline())
        return cells

    def close(self) -> None:
        self._file.close()
