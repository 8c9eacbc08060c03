"""The web server: the API beside the pages, on a socket that is already listening."""

import socket

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from edgewise_fleet.view import FleetView
from edgewise_fleet.web.api import add_api
from edgewise_fleet.web.device_page import add_device_page
from edgewise_fleet.web.fleet_page import add_fleet_page
from edgewise_fleet.web.look import FAVICON

SHUTDOWN_S = 2
"""Open pages keep a connection for ever; they are given this long to go."""


def serve_pages(view: FleetView, web_socket: socket.socket) -> None:
    """Serve until a signal; then re-raise it for the handler that was there before."""
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_api(site, view)
    add_fleet_page(view)
    add_device_page(view)
    ui.run_with(
        site,
        title="Edgewise fleet",
        favicon=FAVICON,
        dark=None,
        language="en-GB",
        tailwind=False,
        show_welcome_message=False,
    )
    config = uvicorn.Config(
        site, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_S
    )
    uvicorn.Server(config).run(sockets=[web_socket])
