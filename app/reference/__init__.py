"""The reference application: a small Flask application that knows how to live behind nginx and under systemd."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from reference import errors, logs, readiness, settings, views


def create_app(overrides: Mapping[str, object] | None = None) -> Flask:
    """Return a configured application.

    `overrides` are settings that win over the environment (tests use them). Raises ValueError, naming the variable
    and what it accepts, if a setting is wrong: an application that cannot be right should not start.
    """
    app = Flask(__name__)
    settings.load(app, overrides or {})
    logs.init_app(app)
    errors.init_app(app)
    readiness.init_app(app)
    app.register_blueprint(views.pages)

    if hops := app.config["PROXY_HOPS"]:
        # X-Forwarded-For grows by one value per proxy, so hops are counted in it. X-Forwarded-Proto and -Prefix do not
        # grow: nginx replaces them with one value, or none. Host is never taken from them: nginx sets Host itself.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=1, x_host=0, x_port=0, x_prefix=1
        )
    return app
