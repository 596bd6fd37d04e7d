"""The tea shop with Flask, Flask-Login and Jinja2."""

from __future__ import annotations

from flask import (
    Flask,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_ensoras import Ensoras  # Ensoras: line 1 of 3
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from werkzeug.security import check_password_hash, generate_password_hash

from examples import shop


class User(UserMixin):
    """Flask-Login's user; the middleware reads its `email`."""

    def __init__(self, customer: shop.Customer) -> None:
        self.id = self.email = customer.email
        self.name = customer.name
        self.password_hash = generate_password_hash(shop.DEMO_PASSWORD)


def create_app() -> Flask:
    app = Flask(__name__, static_folder=shop.STATIC_DIR, static_url_path="/static")
    app.config["SECRET_KEY"] = shop.secret_key()
    # All three shops live on 127.0.0.1, and cookies know no ports. Lax: other sites cannot log out.
    app.config["SESSION_COOKIE_NAME"] = "flask_shop_session"
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.context_processor(lambda: {"shop": shop, "widget_src": shop.widget_src()})

    # Ensoras: line 2 of 3. Slug and secret come from the environment.
    # (Only the demo sets the origin, to show its own stand-in for app.ensoras.com.)
    app.config["ENSORAS_WIDGET_ORIGIN"] = shop.widget_origin()
    Ensoras(app)
    # Ensoras: line 3 of 3 is the widget tag in templates/base.html.

    add_log_in(app)
    add_pages(app)
    return app


def page(template: str, *, personal: bool = True, **context: object) -> str:
    """A page of the shop; a personal one greets its customer."""
    return render_template(template, personal=personal, **context)


def add_log_in(app: Flask) -> None:
    users = {customer.email: User(customer) for customer in shop.CUSTOMERS}
    nobody = generate_password_hash("nobody")
    login_manager = LoginManager(app)
    login_manager.login_view = "login"
    login_manager.login_message = None  # type: ignore[assignment]
    login_manager.user_loader(users.get)

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        if request.method == "GET":
            return page("login.html")
        email = request.form.get("username", "").strip().lower()
        user = users.get(email)
        password_hash = user.password_hash if user else nobody
        if not check_password_hash(password_hash, request.form.get("password", "")) or not user:
            return page("login.html", failed=True, email=email), 401
        login_user(user)
        return redirect(shop.after_login(request.args.get("next")), 303)

    @app.post("/logout")
    def logout() -> ResponseReturnValue:
        logout_user()
        return redirect(url_for("products"), 303)


def add_pages(app: Flask) -> None:
    @app.get("/")
    def products() -> str:
        return page("products.html")

    @app.get("/orders")
    @login_required
    def orders() -> str:
        return page("orders.html", orders=shop.orders_of(current_user.email))

    @app.get("/cached/<style>")
    def cached(style: str) -> Response:
        note = next((note for note in shop.NOTES if note.style == style), None) or abort(404)
        response = make_response(page("note.html", personal=note.personal, note=note))
        match style:
            case "etag":
                response.cache_control.no_cache = True
                response.add_etag()
            case "max-age":
                response.cache_control.max_age = 600
                response.add_etag()
            case "last-modified":
                response.last_modified = shop.NOTES_CHANGED
            case "public":
                response.cache_control.public = True
                response.cache_control.s_maxage = 600
            case "no-store":
                response.cache_control.no_store = True
        return response.make_conditional(request)

    @app.get("/stream")
    def stream() -> Response:
        return Response(stream_with_context(shop.pour(page("stream.html"))))
