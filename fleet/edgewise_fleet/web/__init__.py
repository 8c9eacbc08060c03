"""The pages, the JSON API and the Prometheus endpoint; the only package that knows NiceGUI."""

from edgewise_fleet.web.site import serve_pages

__all__ = ["serve_pages"]
