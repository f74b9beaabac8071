"""Flags, environment and settings file -> `Settings`, or every problem at once. A flag beats a variable beats the file.

All three spellings of a setting are read by its one `Kind`. Nothing is ignored: an unknown key or variable is a
mistake, most likely in the setting that was meant to make things safer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from authz import compiled
from authz.app.phrases import reason
from authz.app.settings.identities import compile_identities
from authz.app.settings.settings import VARIABLE_PREFIX, Setting, Settings, table
from authz.app.settings.tls import tls_contradictions
from authz.approval import OWN_ID
from authz.envoy.listen import require_protected
from authz.errors import PolicyError, SettingsError
from authz.policy.text.document import Document, parse
from authz.policy.text.suggestion import did_you_mean

CONFIG_VARIABLE = VARIABLE_PREFIX + "CONFIG"
TOKEN_VARIABLE = VARIABLE_PREFIX + "APPROVALS_TOKEN"  # of the approver who runs `mcp-authz approvals`
_NO_SETTINGS = (CONFIG_VARIABLE, TOKEN_VARIABLE, compiled.VARIABLE)
# Kubernetes sets these in every pod for a Service named mcp-authz… (its "service links").
_SERVICE_LINK = re.compile(r"MCP_AUTHZ_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT(?:_[0-9]+_.+)?)")


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    need: Sequence[str] = (),
) -> Settings:
    """The settings of this run; raises SettingsError, whose text has a line for each problem.

    `flags` are by name of the setting, None or () where not given; text, or a bool for switches. `file` is the
    settings file, else the one that MCP_AUTHZ_CONFIG names. `need` are settings that must have been given.
    """
    reader = _Reader()
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    if file is not None:
        reader.file(file)
    reader.variables(environ)
    reader.flags(flags)
    for name in need:
        if name not in reader.given and name not in reader.bad and not reader.unread:
            setting = table()[name]
            reader.problems.append(f"{setting.flag}: expected a value (also {setting.variable} or {name}: in --config)")
    settings = Settings(**reader.given)
    reader.problems += _contradictions(settings, identities=not reader.unread and "identity" not in reader.bad)
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return settings


class _Reader:
    """Gathers values and problems from one place after the other; what comes later wins.

    `given` are the values by setting, `bad` the settings that were given and cannot be used. With `unread` there is a
    file of which nobody knows what it sets.
    """

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.bad: set[str] = set()
        self.unread = False
        self.problems: list[str] = []

    def file(self, path: Path) -> None:
        self.unread = True
        try:
            document = parse(path.read_bytes(), str(path), _takes())
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {reason(error)}")
            return
        except PolicyError as error:
            self.problems += [str(problem) for problem in error.problems]
            return
        self.problems += [str(problem) for problem in document.problems]
        if not isinstance(document.value, dict):
            self.problems.append(f"{path}: expected a mapping of settings")
            return
        self.unread = False
        for key, raw in document.value.items():
            if document.is_unclear((key,)):
                self.bad.add(key)
            setting = table().get(key)
            if setting is None:
                dashed = did_you_mean(key.replace("-", "_"), table())
                self._refuse(key, str(document.problem((key,), f"there is no such setting{dashed}")))
            elif key == "identity":
                self.given[key], problems = compile_identities(document, raw)
                self.problems += [str(problem) for problem in problems]
                if problems:
                    self.bad.add(key)
            else:
                self._key(document, setting, raw)

    def _key(self, document: Document, setting: Setting, raw: object) -> None:
        kind = setting.about.kind
        if kind is None:
            raise TypeError(f"{setting.name} is not read here")
        several = setting.about.many and isinstance(raw, list)
        read = []
        for at, entry in enumerate(raw if isinstance(raw, list) and several else [raw]):
            if entry is None:  # which the document has a problem for
                continue
            try:
                read.append(kind.read(entry))
            except ValueError as error:
                path = (setting.name, at) if several else (setting.name,)
                self._refuse(setting.name, str(document.problem(path, str(error))))
        if setting.name not in self.bad:
            self.given[setting.name] = tuple(read) if setting.about.many else read[0]

    def variables(self, environ: Mapping[str, str]) -> None:
        by_variable = {setting.variable: setting for setting in table().values() if setting.variable}
        for variable, text in sorted(environ.items()):
            if not variable.startswith(VARIABLE_PREFIX) or variable in _NO_SETTINGS:
                continue
            setting = by_variable.get(variable)
            if setting is not None:
                if text:  # an empty variable is how compose files spell "not set"
                    parts = (
                        [part.strip() for part in text.split(setting.about.separator)] if setting.about.many else [text]
                    )
                    self._parse(setting, variable, parts)
            elif not _SERVICE_LINK.fullmatch(variable):
                self.problems.append(f"{variable}: there is no such setting{did_you_mean(variable, by_variable)}")

    def flags(self, flags: Mapping[str, Any]) -> None:
        for name, given in flags.items():
            if given is None or given in ((), []):
                continue
            setting = table()[name]
            parts = given if isinstance(given, list | tuple) else [given]
            self._parse(setting, setting.flag, [str(part).lower() if part in (True, False) else part for part in parts])

    def _parse(self, setting: Setting, place: str, parts: Sequence[str]) -> None:
        kind = setting.about.kind
        if kind is None:
            raise TypeError(f"{setting.name} is not read here")
        try:
            read = tuple(kind.parse(part) for part in parts)
        except ValueError as error:
            self._refuse(setting.name, f"{place}: {error}")
        else:
            self.given[setting.name] = read if setting.about.many else read[0]

    def _refuse(self, name: str, problem: str) -> None:
        self.bad.add(name)
        self.problems.append(problem)


def _takes() -> dict[str, tuple[type, ...]]:
    """The types that each setting may have in a file."""
    kinds = {setting.name: setting.about.kind for setting in table().values()}
    return {name: kind.scalars for name, kind in kinds.items() if kind is not None}


def _contradictions(settings: Settings, *, identities: bool) -> list[str]:
    """What each setting allows and all together do not; `identities`: whether all of them are known."""
    problems = []
    names = [source.name for source in settings.identity]
    if identities and settings.default_identity and settings.default_identity not in names:
        known = f"one of {', '.join(names)}" if names else "a name in identity, which has none"
        problems.append(f"default_identity: expected {known}, got {settings.default_identity!r}")
    if identities:
        problems += _claim_contradictions(settings)
    if settings.audit_required and settings.audit == "none":
        problems.append("audit_required: expected audit to be a file or stdout, got none")
    if len(set(settings.listen)) < len(settings.listen):
        problems.append("listen: expected each address once")
    problems += _state_contradictions(settings)
    problems += tls_contradictions(settings)
    for address in settings.listen:
        try:
            require_protected(address, settings.plaintext_ok, tls=settings.tls_cert is not None)
        except SettingsError as error:
            problems.append(str(error))
    return problems


def _claim_contradictions(settings: Settings) -> list[str]:
    """A claim that no caller can ever have: every yes would be refused, or nobody compared with anybody."""
    claim = settings.approval_claim
    if claim == OWN_ID or any(source.claims.get(claim) == "string" for source in settings.identity):
        return []
    declared = sorted(name for source in settings.identity for name, kind in source.claims.items() if kind == "string")
    known = f" or one of {', '.join(dict.fromkeys(declared))}" if declared else ""
    how = f"{OWN_ID}{known}, or a source in identity with claims: {{{claim}: string}}"
    return [f"approval_claim: expected {how}, got {claim!r}{did_you_mean(claim, declared)}"]


def _state_contradictions(settings: Settings) -> list[str]:
    problems = []
    state = settings.state
    if state.shared and settings.state_timeout >= settings.timeout:
        problems.append(
            f"state_timeout: expected less than timeout, {settings.timeout:g}s, got {settings.state_timeout:g}s"
        )
    if settings.state_password and not state.shared:
        problems.append(f"state_password: expected state to be a server, got {state}")
    problems += [
        f"{name}: expected state to be an address with TLS such as valkeys://…, got {state}"
        for name in ("state_ca", "state_cert", "state_key")
        if getattr(settings, name) and not state.tls
    ]
    if bool(settings.state_cert) != bool(settings.state_key):
        problems.append("state_cert: expected state_cert and state_key together, got one of them")
    return problems
