"""Audit sinks for tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from authz.audit import Record


@dataclass
class Sink:
    """Keeps what it is given; with `takes` false it says that it could not."""

    records: list[Record] = field(default_factory=list)
    takes: bool = True

    def write(self, record: Record) -> bool:
        self.records.append(record)
        return self.takes

    @property
    def last(self) -> Record:
        return self.records[-1]
