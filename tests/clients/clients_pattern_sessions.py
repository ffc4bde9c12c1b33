"""docs/patterns/sessions.py: one login for two instances of an application, over two nodes."""

import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar

import patterns
from connect import meta
from flask import session
from harness import ANSWER_SECS, STOP_SECS, Needs, check, on, same
from sessions import AWAY, TTL_SECS, create_app, key_of

LOGGED_OUT = (401, "not logged in\n")


@contextmanager
def instance(nodes):
    """One process of the application; gives its address."""
    command = [sys.executable, patterns.PATTERNS / "sessions.py", "--port", "0", "--cache", nodes]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        address = process.stdout.readline().decode().strip()
        assert address.startswith("http://"), "it ended at start"
        yield address
    finally:
        process.terminate()
        process.wait(STOP_SECS)


@contextmanager
def two_instances(server):
    """Two nodes, and two processes of the application that share them."""
    with ExitStack() as stack:
        nodes = stack.enter_context(server.and_others(1))
        addresses = ",".join(node.address for node in nodes)
        yield [stack.enter_context(instance(addresses)) for _ in range(2)], nodes


class Browser:
    """Keeps cookies, as one does, for all ports of the host."""

    def __init__(self):
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.ProxyHandler({})
        )

    def get(self, url):
        """Status and text."""
        return self._open(url, None)

    def post(self, url, **form):
        return self._open(url, urllib.parse.urlencode(form).encode())

    def login(self, address, user="ann"):
        same(self.post(f"{address}/login", user=user, password="open sesame"), (200, "welcome\n"))
        return self

    def sid(self):
        return next(cookie.value for cookie in self.cookies)

    def _open(self, url, data):
        try:
            with self._opener.open(url, data, ANSWER_SECS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def pass_time(nodes, secs):
    for node in nodes:
        node.advance_clock(secs)


@check
def a_login_at_one_is_a_login_at_the_other(server):
    with two_instances(server) as ((one, other), _nodes):
        browser = Browser()
        for address in (one, other):
            same(browser.get(address), LOGGED_OUT)
        same(browser.post(f"{one}/login", user="ann", password="guessed")[0], 403)
        browser.login(one)
        same([browser.get(address) for address in (one, other)], [(200, "ann\n")] * 2)
        same(Browser().get(one), LOGGED_OUT)
        for number in range(1, 7):  # what one stores the other reads
            address = (one, other)[number % 2]
            same(browser.post(f"{address}/visit"), (200, f"{number}\n"))
        same(browser.post(f"{other}/logout"), (200, "bye\n"))
        same([browser.post(f"{address}/visit") for address in (one, other)], [LOGGED_OUT] * 2)


@check
def each_request_renews_it(server):
    with two_instances(server) as ((one, other), nodes):
        browser = Browser().login(one)
        for address in (other, one, other):
            pass_time(nodes, TTL_SECS * 7 // 10)
            same(browser.get(address), (200, "ann\n"))
        same(browser.post(f"{one}/visit"), (200, "1\n"))
        pass_time(nodes, TTL_SECS * 7 // 10)
        same(browser.post(f"{other}/visit"), (200, "2\n"))
        pass_time(nodes, TTL_SECS + 2)
        same([browser.get(address) for address in (one, other)], [LOGGED_OUT] * 2)
        same(sum(int(node.stats()["curr_items"]) for node in nodes), 0)


@check
def a_stolen_id_ends_with_the_logout(server):
    """Who deletes the cookie alone leaves the session to whoever has copied it."""
    with two_instances(server) as ((one, other), _nodes):
        browser, thief = Browser().login(one), Browser()
        thief.cookies.set_cookie(next(iter(browser.cookies)))
        same(thief.get(other), (200, "ann\n"))
        browser.post(f"{one}/logout")
        same(len(browser.cookies), 0)
        same(thief.get(other), LOGGED_OUT)


@check
def sessions_are_on_all_nodes_and_their_end_is_a_logout(server):
    with two_instances(server) as ((one, _other), nodes):
        browsers = [Browser().login(one, f"user{number}") for number in range(30)]
        counts = [int(node.stats()["curr_items"]) for node in nodes]
        assert sum(counts) == 30 and min(counts) > 0, counts
        same([each.get(one) for each in browsers], [(200, f"user{n}\n") for n in range(30)])
        nodes[0].exchange(b"flush_all\r\n")  # as after a restart of it, or an eviction
        answers = [each.get(one) for each in browsers]
        same(answers.count(LOGGED_OUT), counts[0])
        browsers[answers.index(LOGGED_OUT)].login(one)


@check
def without_the_cache_sessions_are_unavailable(server):
    with ExitStack() as stack:
        with server.another() as node:
            address = stack.enter_context(instance(node.address))
            browser = Browser().login(address)
        same(browser.get(address), (503, AWAY))
        same(browser.post(f"{address}/logout"), (503, AWAY))
        same(Browser().get(address), LOGGED_OUT)
        form = {"user": "ann", "password": "open sesame"}
        same(Browser().post(f"{address}/login", **form), (503, AWAY))


@check
def a_node_that_is_away_takes_its_own_sessions_alone(server):
    with ExitStack() as stack:
        with server.another() as node:
            address = stack.enter_context(instance(f"{server.address},{node.address}"))
            browsers = [Browser().login(address) for _ in range(30)]
            its_own = int(node.stats()["curr_items"])
            assert 0 < its_own < 30, its_own
        for _ in range(2):
            answers = [browser.get(address) for browser in browsers]
            same((answers.count((503, AWAY)), answers.count((200, "ann\n"))), (its_own, 30 - its_own))


@on(Needs(arguments=("-m", "2", "-M")))
@check
def with_no_room_left_logins_are_refused(server):
    early = meta_client(server)
    late = meta_client(server)
    login(early)
    for size in (2000, 28):  # all pages taken, then those that have items of a session's size
        others = [key_of(f"{size:04}{number:039}").encode() for number in range(20_000)]
        full = b"".join(b"ms %s %d q\r\n%s\r\n" % (key, size, b"x" * size) for key in others)
        assert b"out of memory" in server.exchange(full)
    answer = login(late)
    same((answer.status_code, answer.text), (503, AWAY))
    same(early.get("/").text, "ann\n")


@check
def ids_are_the_servers_own(server):
    """No id of a client's choice is taken up, a login changes it, and no key can be made of a cookie."""
    app = create_app(meta(server.address))

    @app.post("/basket")
    def basket():
        session["basket"] = ["tea"]
        return "taken"

    client = app.test_client()
    for made_up in ("x" * 43, "", "x", "x" * 300, "a b", "x" * 42 + "\u00e9", "a\r\nflush_all"):
        client.set_cookie("sid", made_up)
        same(client.get("/").status_code, 401)
        first = sid_set_by(client.post("/basket"))
        assert first != made_up and len(first) == 43, first
        second = sid_set_by(login(client))
        same(client.get("/").text, "ann\n")
        assert second != first, "not rotated"
        same(server.exchange(b"get %s\r\n" % key_of(first).encode()), b"END\r\n")
    same(int(server.stats()["curr_items"]), 7)


@check
def the_cookie_is_kept_from_scripts_and_other_sites(server):
    client = meta_client(server)
    attributes = login(client).headers["Set-Cookie"].split("; ")
    same(sorted(attributes[1:]), ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"])
    assert "Set-Cookie" not in client.post("/visit").headers
    same(client.get("/").headers["Vary"], "Cookie")
    assert "Expires=Thu, 01 Jan 1970" in client.post("/logout").headers["Set-Cookie"]


@check
def what_users_write_is_text(server):
    """And not a page, in which a name could be a script."""
    client = meta_client(server)
    login(client, "<script>alert(1)</script>")
    answers = [client.get("/"), client.post("/visit"), client.post("/logout"), client.get("/")]
    same([answer.mimetype for answer in answers], ["text/plain"] * 4)
    same(answers[0].text, "<script>alert(1)</script>\n")


@check
def forms_of_other_sites_are_refused(server):
    """With a login of theirs a user would go on as somebody else, and tell that one's account what is his own."""
    client = meta_client(server)
    for site in ("cross-site", "same-site"):
        answer = login(client, headers={"Sec-Fetch-Site": site})
        same((answer.status_code, answer.headers.get("Set-Cookie")), (403, None))
    same(login(client, headers={"Sec-Fetch-Site": "same-origin"}).status_code, 200)
    cross = {"Sec-Fetch-Site": "cross-site"}
    same([client.post("/logout", headers=cross).status_code, client.get("/", headers=cross).text], [403, "ann\n"])


@check
def a_session_that_is_ended_amid_a_request_stays_ended(server):
    app = create_app(meta(server.address))

    @app.post("/slow")
    def slow():
        other = meta_client(server)
        other.set_cookie("sid", session.sid)
        same(other.post("/logout").status_code, 200)
        session["visits"] = 7
        return "done"

    client = app.test_client()
    login(client)
    same(client.post("/slow").status_code, 200)
    same(client.get("/").status_code, 401)
    same(int(server.stats()["curr_items"]), 0)


def meta_client(server):
    """A client of an application in this process."""
    return create_app(meta(server.address)).test_client()


def login(client, user="ann", **more):
    return client.post("/login", data={"user": user, "password": "open sesame"}, **more)


def sid_set_by(answer):
    return answer.headers["Set-Cookie"].split(";")[0].removeprefix("sid=")
