"""What can be chosen on the command line of `import`. Imports nothing, so that other commands start as fast."""

from __future__ import annotations

import enum


class From(enum.StrEnum):
    """Whose files they are; `auto` looks at each."""

    AUTO = "auto"
    POLICYLAYER = "policylayer"
    INTERCEPT = "intercept"


class Per(enum.StrEnum):
    """Whose calls a limit counts together; `source`: as it was there."""

    SOURCE = "source"
    SESSION = "session"
    PRINCIPAL = "principal"
    CLIENT = "client"
    SERVER = "server"


class Windows(enum.StrEnum):
    """How a window is counted."""

    SLIDING = "sliding"
    FIXED = "fixed"
