"""Product feeds as RSS or Atom, in the style of Google Merchant Center: <item> or <entry> with elements of its own.

The feed is read as a stream: an element is forgotten as soon as its item was handed on. Entities are refused.
"""

from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from marketsync.sources.api import SourceError
from marketsync.sources.blob import Blob
from marketsync.sources.cells import LIST_SIGN
from marketsync.sources.table import Document, Documents

_ITEMS = frozenset({"item", "entry", "product"})
_DEEPEST = 4
_MERCHANT = "{http://base.google.com/ns/1.0}"


def read_xml(blob: Blob) -> Documents:
    """The items of the feed, numbered. Raises SourceError, while they are read, where the feed is cut off or damaged."""
    return Documents("xml", lambda: _documents(blob))


def _documents(blob: Blob) -> Iterator[Document]:
    number = 0
    ancestors: list[Element] = []
    inside: Element | None = None
    with blob.reader() as reader:
        try:
            for event, element in iterparse(reader, events=("start", "end")):
                if event == "start":
                    ancestors.append(element)
                    if inside is None and _local(element) in _ITEMS:
                        inside = element
                    continue
                ancestors.pop()
                if inside is not None and element is inside:
                    inside = None
                    number += 1
                    yield number, _texts(element)
                if inside is None and ancestors:
                    ancestors[-1].clear()
        except ParseError as error:
            line, column = error.position
            raise SourceError(
                f"{blob.name}:{line}:{column + 1}: the feed is cut off or damaged here ({str(error).partition(':')[0]}): "
                "export it again"
            ) from None
        except DefusedXmlException:
            raise SourceError(f"{blob.name}: the feed defines entities, which is refused: export it without") from None


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _texts(item: Element) -> dict[str, str]:
    """The item's texts by local name. Where <g:id> and Atom's own <id> both stand, the merchant's counts."""
    texts: dict[str, list[str]] = {}
    own = {_local(child) for child in item if child.tag.startswith(_MERCHANT)}
    _collect([c for c in item if c.tag.startswith(_MERCHANT) or _local(c) not in own], "", texts, 1)
    return {name: LIST_SIGN.join(values) for name, values in texts.items()}


def _collect(children: Iterable[Element], prefix: str, texts: dict[str, list[str]], depth: int) -> None:
    for child in children:
        name = prefix + _local(child)
        if len(child) and depth < _DEEPEST:
            _collect(child, f"{name}.", texts, depth + 1)
        elif text := "".join(child.itertext()).strip():
            texts.setdefault(name, []).append(text)
