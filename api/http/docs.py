"""`/openapi.json` and `/docs`: the HTTP API described for programs and for people, from one table of routes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from api.http.docs_page import render_page
from api.http.door import Door
from api.http.job_store import Status
from api.http.reference import ERRORS, REFERENCE, Field, RouteReference, own_options
from api.transcriber import Schema

_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_JOB_ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}}
_JOB: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "status": {"enum": [*get_args(Status)]},
        "delayTime": {"type": "integer", "description": "Milliseconds in the queue."},
        "executionTime": {"type": "integer", "description": "Milliseconds from then to the end."},
        "output": {"description": "The progress, then the result."},
        "error": {"type": "string"},
        "stream": {"type": "array", "items": {"type": "object", "properties": {"output": {"type": "object"}}}},
    },
}

_PAGE_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


def describe(options: Sequence[Field], address: str, *, has_keys: bool) -> dict[str, Any]:
    """The API as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0).

    Args:
        options: of the transcriber.
        address: of the server, without a slash at the end.
        has_keys: true if requests need a key.
    """
    paths: dict[str, Any] = {}
    for route in REFERENCE:
        paths[route.path] = {
            method.lower(): _operation(route, method, options, has_keys=has_keys) for method in route.methods
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "worker-whisper", "version": "1"},
        "servers": [{"url": address}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, "Job": _JOB, "JobError": _JOB_ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


async def show_description(request: Request) -> Response:
    """`/openapi.json`."""
    door: Door = request.app.state.door
    options = own_options(door.transcriber.option_schemas())
    return JSONResponse(describe(options, find_address(request), has_keys=bool(door.settings.api_keys)))


async def show_page(request: Request) -> Response:
    """`/docs`."""
    door: Door = request.app.state.door
    page = render_page(
        own_options(door.transcriber.option_schemas()),
        address=find_address(request),
        has_keys=bool(door.settings.api_keys),
    )
    return Response(page, headers=_PAGE_POLICY, media_type="text/html")


async def lead_to_page(_: Request) -> Response:
    """`/`, which a browser asks for when it is given the bare address."""
    return RedirectResponse("docs")


ROUTES = [Route("/openapi.json", show_description), Route("/docs", show_page), Route("/", lead_to_page)]


def find_address(request: Request) -> str:
    """The server's address as its caller knows it: by `Host`, if that is sane, and by a proxy that ended TLS."""
    host = request.headers.get("host", "")
    if not re.fullmatch(
        r"[a-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9a-f:.]{2,45}\](:\d{1,5})?", host, re.IGNORECASE | re.ASCII
    ):
        host = "localhost"
    is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    return f"{'https' if is_secure else 'http'}://{host}"


def _operation(route: RouteReference, method: str, options: Sequence[Field], *, has_keys: bool) -> dict[str, Any]:
    query = [*route.query, *(options if route.takes_options == "query" else ())]
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters = [
        *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
        *({"name": field.name, "in": "query", "schema": field.schema, "description": field.text} for field in query),
    ]
    body = _body(route, options if route.takes_options == "form" else ())
    return {
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "tags": [route.group],
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": _responses(route),
        "security": [{"key": []}] if has_keys and route.needs_key else [],
    }


def _body(route: RouteReference, options: Sequence[Field]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.form:
        content["multipart/form-data"] = {"schema": _object([*route.form, *options])}
    if route.body:
        fields = [field for field in route.form if field.schema.get("format") != "binary"]
        content["application/json"] = {"schema": _object([*route.body, *fields, *options])}
    return content


def _object(fields: Sequence[Field]) -> Schema:
    properties = {field.name: {**field.schema, "description": field.text} for field in fields}
    required = [field.name for field in fields if field.required]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _responses(route: RouteReference) -> dict[str, Any]:
    is_job = route.group == "RunPod's API"
    error = {"schema": {"$ref": f"#/components/schemas/{'JobError' if is_job else 'Error'}"}}
    job = {"$ref": "#/components/schemas/Job"}
    text: Mapping[str, Any] = {"type": "string"}
    answers = {name: {"schema": (job if is_job else {}) if "json" in name else text} for name in route.answers}
    return {
        "200": {"description": "The answer.", "content": answers},
        "default": {
            "description": " ".join(f"{status}: {meaning}" for status, meaning in ERRORS.items()),
            "content": {"application/json": error},
        },
    }
