"""One word for one thing: names in the code use the words of the architecture page, not their synonyms."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

INSTEAD = {
    "article": "item",
    "catalog": "catalogue",
    "connector": "adapter",
    "ean": "gtin",
    "inventory": "stock",
    "merchandise": "item",
    "oversell": "oversold",
    "plugin": "adapter",
    "product": "item",
    "quarantine": "park",
    "upc": "gtin",
    "warehouse": "location",
}


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What this code itself names: definitions, parameters, and variables that it writes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def _words(name: str) -> set[str]:
    return {part.lower().removesuffix("s") for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_the_engine_names_things_by_the_projects_own_words():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}: say {INSTEAD[word]}"
        for path in sorted((ROOT / "marketsync").rglob("*.py"))
        if not path.name.endswith("_format.py")  # what reads a shop's export speaks the shop's words
        for line, name in _names(ast.parse(path.read_text(encoding="utf-8")))
        for word in sorted(_words(name) & INSTEAD.keys())
    ]
    assert [] == found, "\n".join(found)
