"""The listing map as a CSV: ``channel_sku,sku,quantity``, one row per component. A kit has several rows."""

import csv
from pathlib import Path
from typing import Any

from marketsync.config.nodes import Path_, Position, Tree

_COLUMNS = ("channel_sku", "sku", "quantity")


def insert(tree: Tree, path: Path_, base: Path) -> Path | None:
    """Put the rows of ``{file: ...}`` in the place of the mapping at ``path``, each with its line as its place.

    Returns the file, or None where the mapping stands in the configuration itself. Mistakes become problems.
    """
    written = tree.at(path)
    if not isinstance(written, dict) or set(written) != {"file"} or not isinstance(written["file"], str):
        return None
    file = base / written["file"]
    at = (*path, "file")
    rows: dict[str, dict[str, Any]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            head = lines.readline()
            delimiter = max(",;\t", key=head.count)
            columns = [column.strip().lower() for column in head.split(delimiter)]
            if sorted(columns) not in (sorted(_COLUMNS), sorted(_COLUMNS[:2])):
                tree.refuse(
                    at, f"the columns of {file} are {', '.join(columns)}", f"they have to be {', '.join(_COLUMNS)}"
                )
            else:
                reader = csv.DictReader(lines, columns, delimiter=delimiter, restkey="", restval="")
                _read(reader, tree, path, Position(str(file), 1, 1), rows)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no CSV in UTF-8"
        tree.refuse(at, f"the listing map {file} cannot be read: {reason}")
    tree.put(path, rows)
    return file


def _read(
    reader: "csv.DictReader[str]", tree: Tree, path: Path_, head: Position, rows: dict[str, dict[str, Any]]
) -> None:
    for row in reader:
        place = Position(head.file, reader.line_num + 1, 1)
        channel_sku, sku = row["channel_sku"].strip(), row["sku"].strip()
        where = (*path, channel_sku)
        if not channel_sku or not sku or "" in row:
            tree.refuse(path, "a row has a channel SKU, a SKU and a quantity", "complete it or remove it", at=place)
        elif sku in rows.get(channel_sku, {}):
            tree.refuse((*where, sku), "it stands here twice", "keep one row with the whole quantity", at=place)
        else:
            tree.values.setdefault(where, place)
            tree.values[(*where, sku)] = place
            rows.setdefault(channel_sku, {})[sku] = row.get("quantity", "").strip() or "1"
