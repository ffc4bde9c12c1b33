"""Sessions of a Flask application in the cache, with a sliding TTL. The page is sessions.md."""

import json
import re
import secrets

from connect import NO_CACHE, arguments, meta
from flask import Flask, Response, abort, request, session
from flask.sessions import SessionInterface, SessionMixin
from meta_memcache import SetMode
from werkzeug.datastructures import CallbackDict
from werkzeug.serving import make_server

NOBODY = "not logged in\n", 401
OWN = ("same-origin", "none")  # Sec-Fetch-Site of this application's forms, and of what is no browser
AWAY = "sessions are not available, try again\n"
TTL_SECS = 1800  # since the last request
ID = re.compile(r"[\w-]{43}", re.ASCII)  # what token_urlsafe(32) makes


class Session(CallbackDict, SessionMixin):
    """What a session holds. `sid` is None until it is stored under one."""

    def __init__(self, values=(), sid=None, available=True):
        super().__init__(values, on_update=lambda self: setattr(self, "modified", True))
        self.sid, self.available = sid, available
        self.modified, self.old_sid = False, None

    def rotate(self):
        """A new id, for whenever rights change: the old one, which somebody may know, ends."""
        self.old_sid, self.sid, self.modified = self.old_sid or self.sid, None, True


class CacheSessions(SessionInterface):
    """The cookie has the id alone, 256 random bits; all else stays with the server, so nothing is signed."""

    def __init__(self, cache):
        self.cache = cache

    def open_session(self, app, request):
        sid = request.cookies.get(self.get_cookie_name(app), "")
        if not ID.fullmatch(sid):
            return Session()
        try:
            # `mg KEY v T1800`, the meta protocol's gat: what is read has a whole TTL again.
            found = self.cache.get(key_of(sid), touch_ttl=TTL_SECS)
        except NO_CACHE:
            return Session(available=False)
        # An id that the server does not know is not taken up: the next one is its own.
        return Session() if found is None else Session(json.loads(found), sid)

    def save_session(self, app, session, response):
        response.vary.add("Cookie")
        if not (session.available and session.modified):
            return  # to have read it has renewed it
        try:
            self.store(app, session, response)
        except NO_CACHE:  # nobody is told "welcome" or "bye" if it is not so
            response.status_code = 503
            response.set_data(AWAY)

    def store(self, app, session, response):
        name = self.get_cookie_name(app)
        cookie = {"httponly": True, "samesite": "Lax", "secure": self.get_cookie_secure(app)}
        if not session:
            session.rotate()
        if session.old_sid:
            self.cache.delete(key_of(session.old_sid))
        if not session:
            response.delete_cookie(name, **cookie)
        elif session.sid:
            # Replace: a session that another request has ended meanwhile stays ended.
            self.put(session, SetMode.REPLACE)
        else:
            session.sid = secrets.token_urlsafe(32)
            self.put(session, SetMode.ADD)
            response.set_cookie(name, session.sid, **cookie)

    def put(self, session, mode):
        self.cache.set(key_of(session.sid), json.dumps(session), ttl=TTL_SECS, set_mode=mode)


def key_of(sid):
    return f"session:v1:{sid}"


class Text(Response):
    default_mimetype = "text/plain"  # answers repeat what users write: in HTML it would have to be escaped


def create_app(cache, secure=True):
    """An application with a login; `secure` is for cookies that go over HTTPS alone."""
    app = Flask("shop")
    app.session_interface, app.response_class = CacheSessions(cache), Text
    app.config.update(SESSION_COOKIE_NAME="sid", SESSION_COOKIE_SECURE=secure)

    @app.before_request
    def refuse():
        # Or another site's form could log a browser in, as somebody else: SameSite is no help where no cookie is yet.
        if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in OWN:
            return "forms of other sites are refused\n", 403
        # Not "logged out": the login would fail just the same.
        return None if session.available else (AWAY, 503)

    @app.get("/")
    def home():
        return f"{session['user']}\n" if "user" in session else NOBODY

    @app.post("/login")
    def login():
        if request.form.get("password") != "open sesame":
            abort(403)
        session.rotate()
        session.update(user=request.form["user"], visits=0)
        return "welcome\n"

    @app.post("/visit")
    def visit():
        if "user" not in session:
            return NOBODY
        session["visits"] += 1
        return f"{session['visits']}\n"

    @app.post("/logout")
    def logout():
        session.clear()
        return "bye\n"

    return app


def main():
    parser = arguments(__doc__)
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    # Plain HTTP, as it is on loopback alone. For production: a WSGI server, behind HTTPS.
    app = create_app(meta(options.cache), secure=False)
    server = make_server("127.0.0.1", options.port, app, threaded=True)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
