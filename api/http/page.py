"""All of the page: its routes, and what they share."""

from __future__ import annotations

from functools import partial

from starlette.routing import BaseRoute

from api.http import (
    page_events,
    page_exports,
    page_files,
    page_live,
    page_media,
    page_routes,
    page_session,
    page_uploads,
    page_video,
    page_voices,
)
from api.http.door import Door
from api.http.page_requests import JOBS_ROUTE
from api.page.services import PageServices, open_page
from api.page.settings import PageSettings

_PARTS = (
    *(page_files, page_session, page_uploads, page_routes, page_live, page_events, page_media, page_exports),
    page_video,
    page_voices,
)
ROUTES: list[BaseRoute] = [route for part in _PARTS for route in part.ROUTES]


def open_services(settings: PageSettings, door: Door) -> PageServices:
    """Open the page's folder, for jobs and live transcripts, which the door runs.

    Args:
        settings: of the page.
        door: of the API.

    Raises:
        StoreUnusable: the folder cannot be used, with a sentence.
    """
    return open_page(settings, partial(door.run_job, JOBS_ROUTE), door.live)
