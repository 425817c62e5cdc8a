"""Which keys a source has named before: 16 to 32 bytes a key, so that a million of them stay small."""

from array import array
from enum import Enum

_SMALLEST = 1 << 12


class Sighting(Enum):
    NEW = "new"
    AGAIN = "again"
    TWIN = "twin"  # differs from an earlier one only in case


class Seen:
    """Open addressing over two arrays of 64-bit hashes: of the case-folded key (where it is looked up) and of the key.

    Python's own string hash is keyed per process, so nobody can prepare keys that collide.
    """

    def __init__(self) -> None:
        self._folded = array("q", bytes(8 * _SMALLEST))
        self._exact = array("q", bytes(8 * _SMALLEST))
        self._count = 0

    def add(self, key: str) -> Sighting:
        """Note the key and say whether it, or one that differs only in case, was noted before."""
        exact = hash(key) or 1
        folded = hash(key.casefold()) or 1
        table = self._folded
        mask = len(table) - 1
        slot = folded & mask
        while table[slot]:
            if table[slot] == folded:
                return Sighting.AGAIN if self._exact[slot] == exact else Sighting.TWIN
            slot = (slot + 1) & mask
        table[slot], self._exact[slot] = folded, exact
        self._count += 1
        if self._count * 2 > len(table):
            self._grow()
        return Sighting.NEW

    def _grow(self) -> None:
        pairs = zip(self._folded, self._exact, strict=True)
        size = 2 * len(self._folded)
        folded, exact = array("q", bytes(8 * size)), array("q", bytes(8 * size))
        for key, value in pairs:
            if key:
                slot = key & (size - 1)
                while folded[slot]:
                    slot = (slot + 1) & (size - 1)
                folded[slot], exact[slot] = key, value
        self._folded, self._exact = folded, exact
