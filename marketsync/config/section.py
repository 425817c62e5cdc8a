"""What every section of the configuration is built from: a frozen model, names, paths."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationInfo


class Section(BaseModel):
    """A mapping of the configuration. Keys it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


def _beside_configuration(value: str, info: ValidationInfo) -> str:
    context: Any = info.context or {}
    base: Path | None = context.get("base")
    return value if base is None else str(base / Path(value).expanduser())


# A path or pattern of paths; a relative one starts at the folder of the main configuration file.
LocalPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_beside_configuration)]

NAME_PATTERN = r"[a-z0-9]+(?:-[a-z0-9]+)*"
