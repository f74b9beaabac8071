"""An approver who logged in -> a cookie that says so, and a token that only our own pages know. No state to share.

Signed (itsdangerous) and not kept in a table: any replica that has the key knows the session, nothing grows with
log-ins, and a restart with a key from the settings logs nobody out. What a table could do is done by what is signed: a
session ends with its age, and with the token it was opened by.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

LIFE = 8 * 3600  # seconds: a working day (OWASP, Session Management: 4 to 8 hours for office work)
KNOWN = 90 * 24 * 3600  # seconds that a browser which has logged in is known
_KEY_BYTES = 32
_MOST_ENDED = 10_000
_MOST_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in, by which token (a digest of its digest), and 128 random bits that are this session."""

    name: str
    token: str
    id: str


class Sessions:
    """Signs and reads cookies and form tokens. `key` b"": random, so that only this process knows its sessions.

    Logging out ends the session here and takes the cookie away; another replica would take the same cookie until it
    has aged, if somebody kept a copy.
    """

    def __init__(self, key: bytes = b"") -> None:
        key = key or secrets.token_bytes(_KEY_BYTES)
        self._cookies = _serializer(key, "approvals session")
        self._forms = _serializer(key, "approvals form")
        self._browsers = _serializer(key, "approvals browser")
        self._ended: OrderedDict[str, None] = OrderedDict()

    def open(self, name: str, token: str) -> tuple[Session, str]:
        """A new session and its cookie's value."""
        session = Session(name, fingerprint(token), secrets.token_hex(16))
        return session, self._cookies.dumps([session.name, session.token, session.id])

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it is not ours, too old or ended."""
        session = _signed(self._cookies, cookie, LIFE)
        return None if session is None or session.id in self._ended else session

    def remember(self, session: Session) -> str:
        """The value of a cookie by which the browser of `session` is known when it logs in again; it opens nothing."""
        return self._browsers.dumps([session.name, session.token, session.id])

    def recall(self, cookie: str) -> Session | None:
        """The session in which a browser was remembered; None where it is not known."""
        return _signed(self._browsers, cookie, KNOWN)

    def end(self, session: Session) -> None:
        """Forget a session (log-out)."""
        self._ended[session.id] = None
        while len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)

    def form_token(self, binding: str) -> str:
        """The token that a form carries; `binding` is the session's id, or who the proxy says it is."""
        return self._forms.dumps(binding)

    def is_form_token(self, token: str, binding: str) -> bool:
        """Whether `token` was given to this binding and is not too old."""
        if not token or len(token) > _MOST_CHARACTERS:
            return False
        try:
            return bool(self._forms.loads(token, max_age=LIFE) == binding)
        except BadData:
            return False


def _signed(serializer: URLSafeTimedSerializer, cookie: str, age: int) -> Session | None:
    """What a cookie says that is ours and at most `age` seconds old."""
    if len(cookie) > _MOST_CHARACTERS:
        return None
    try:
        name, token, id_ = serializer.loads(cookie, max_age=age)
    except BadData:
        return None
    return Session(name, token, id_)


def fingerprint(token_digest: str) -> str:
    """What a session remembers of the token that opened it, so that another token ends it."""
    return hashlib.sha256(token_digest.encode()).hexdigest()[:32]


def _serializer(key: bytes, purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt=purpose, signer_kwargs={"digest_method": hashlib.sha256})
