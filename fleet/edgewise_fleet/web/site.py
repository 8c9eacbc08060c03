"""The web server: the API beside the pages, on a socket that is already listening."""

import socket

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from edgewise_fleet.web.alerts_page import add_alerts_page
from edgewise_fleet.web.api import add_api
from edgewise_fleet.web.audit_page import add_audit_page
from edgewise_fleet.web.device_page import add_device_page
from edgewise_fleet.web.fleet_page import add_fleet_page
from edgewise_fleet.web.guard import Guard
from edgewise_fleet.web.login import add_login
from edgewise_fleet.web.look import FAVICON
from edgewise_fleet.web.models_page import add_models_page
from edgewise_fleet.web.panel import Panel
from edgewise_fleet.web.rest import add_rest
from edgewise_fleet.web.rollouts_page import add_rollouts_page
from edgewise_fleet.web.rows import add_rows

SHUTDOWN_S = 2
"""Open pages keep a connection for ever; they are given this long to go."""


def make_site(panel: Panel) -> Guard:
    """The whole site, guarded. NiceGUI's pages belong to the process: make one site in each."""
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_api(site, panel.view)
    add_rest(site, panel)
    add_rows(site, panel.view)
    add_login(site, panel.gate)
    for add_page in (
        add_fleet_page,
        add_device_page,
        add_models_page,
        add_rollouts_page,
        add_alerts_page,
        add_audit_page,
    ):
        add_page(panel)
    ui.run_with(
        site,
        title="Edgewise fleet",
        favicon=FAVICON,
        dark=None,
        language="en-GB",
        tailwind=False,
        show_welcome_message=False,
    )
    return Guard(site, panel.gate, trusted_hosts=panel.trusted_hosts, any_host=panel.any_host)


def serve_pages(panel: Panel, web_socket: socket.socket) -> None:
    """Serve until a signal; then re-raise it for the handler that was there before."""
    config = uvicorn.Config(
        make_site(panel),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    uvicorn.Server(config).run(sockets=[web_socket])
