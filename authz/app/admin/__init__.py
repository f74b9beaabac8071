"""The operator's side over HTTP: metrics, health and the state of the policies, on a listener of its own."""

from authz.app.admin.pages import Pages, Scrape, State
from authz.app.admin.server import AdminServer

__all__ = ["AdminServer", "Pages", "Scrape", "State"]
