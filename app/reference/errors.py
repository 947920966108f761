"""Error responses: JSON for clients that ask for JSON, a plain page otherwise, the request's id in both."""

from __future__ import annotations

from flask import Flask, json, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from reference.logs import request_id


def init_app(app: Flask) -> None:
    """Handle every HTTP error; Flask logs an unhandled exception and hands it over as a 500."""
    app.register_error_handler(HTTPException, respond)


def respond(error: HTTPException) -> Response:
    """Return the response for `error`. Headers that belong to it (Allow, Retry-After) are kept."""
    asked = request.accept_mimetypes.best_match(["text/html", "application/json"])
    if asked == "application/json":
        return as_json(error)
    response = error.get_response()
    response.set_data(render_template("error.html", error=error, request_id=request_id()))
    return response


def as_json(error: HTTPException) -> Response:
    """Return the response for `error` as JSON."""
    response = error.get_response()
    response.content_type = "application/json"
    response.set_data(
        json.dumps(
            {
                "status": error.code,
                "error": error.name,
                "detail": error.description,
                "request_id": request_id(),
            }
        )
    )
    return response
