"""The pages, the JSON API and the Prometheus endpoint; the only package that knows NiceGUI."""

from edgewise_fleet.web.panel import Panel
from edgewise_fleet.web.site import serve_pages

__all__ = ["Panel", "serve_pages"]
