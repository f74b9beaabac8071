"""The operator's side over HTTP: metrics, health, the state of the policies and limits, on a listener of its own."""

from authz.app.admin.limits import Limits
from authz.app.admin.metadata import ResourceMetadata
from authz.app.admin.pages import Pages, Scrape, State
from authz.app.admin.server import AdminServer
from authz.app.admin.token import Token, read_token

__all__ = ["AdminServer", "Limits", "Pages", "ResourceMetadata", "Scrape", "State", "Token", "read_token"]
