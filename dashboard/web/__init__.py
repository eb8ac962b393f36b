"""Face: the pages in the browser."""

import jinja2
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from dashboard.bootstrap import Services
from dashboard.web import (
    account,
    api,
    assets,
    audit,
    environment,
    errors,
    export,
    first,
    health,
    history,
    matrix,
    metrics,
    migration,
    oidc,
    people,
    printed,
    rehearsal,
    requests,
    run,
    security,
    signin,
    theme,
)
from dashboard.web.current import Desk
from dashboard.web.pieces import readable

BODY_LIMIT = 64 * 1024  # bytes; the longest form is a password or a reason
FIELD_LIMIT = 50
PAGES = (
    matrix,
    environment,
    migration,
    run,
    rehearsal,
    printed,
    history,
    audit,
    export,
    signin,
    oidc,
    first,
    account,
    people,
    theme,
    health,
    metrics,
    api,
)


def create_app(services: Services) -> Flask:
    """The pages of these services; `services.settings` says where they live and the key of their tokens."""
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT, MAX_FORM_PARTS=FIELD_LIMIT, MAX_FORM_MEMORY_SIZE=BODY_LIMIT)
    app.jinja_options = {
        "undefined": jinja2.StrictUndefined,
        "finalize": readable,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    app.url_map.merge_slashes = False
    hops = services.settings.trusted_proxies
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=0, x_host=0)  # type: ignore[method-assign]  # as Flask's manual has it
    site = security.site_of(services.settings.public_url, services.settings.secret_key)
    app.extensions["rung"] = Desk(services, site)
    requests.log_requests(app)
    metrics.measure(app)
    for page in PAGES:
        app.register_blueprint(page.views)
    assets.serve_assets(app)
    theme.know_themes(app, site)
    assets.pack_pages(app)
    security.guard(app, site, lambda: services.accounts, lambda: services.tokens)
    security.refuse_unmarked(app)
    errors.answer_errors(app)
    return app
