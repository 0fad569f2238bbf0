"""What every record has in common: immutable, tolerant of fields from a younger producer."""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A value of the published language."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(Record):
    """A fact that has happened, published on `topic` under the type name `wire`."""

    wire: ClassVar[str]
    topic: ClassVar[str]


class State(Record):
    """What is true of one entity now: the latest record of its id on a compacted topic."""

    wire: ClassVar[str]
    topic: ClassVar[str]


Moment = Annotated[AwareDatetime, Field(description="RFC 3339, UTC")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$", description="A stable code")]
