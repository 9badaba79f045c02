"""Which handler answers which path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from sidecar.admin.messages import Handler, Request, Response, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable


@frozen
class Route:
    """One method of one path.

    Attributes:
        about: A few words for the index at ``/``.
    """

    method: str
    path: str
    handler: Handler
    about: str


class Routes:
    """A handler made of routes; ``GET /`` lists them. What reads answers HEAD too."""

    def __init__(self, title: str, routes: Iterable[Route]) -> None:
        routes = tuple(routes)
        self._by_path: dict[str, dict[str, Handler]] = {}
        for route in (*routes, Route("GET", "/", self._index, "this page")):
            self._by_path.setdefault(route.path, {})[route.method] = route.handler
        lines = [f"{each.method:5}{each.path:16}{each.about}" for each in routes]
        self._page = text("\n".join([title, "", *lines]))

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer with the route's handler, or with 404 or 405."""
        methods = self._by_path.get(request.path)
        if methods is None:
            return text("no such page, / lists them", 404)
        # A HEAD is answered as a GET; the server leaves the body out.
        method = "GET" if request.method == "HEAD" else request.method
        handler = methods.get(method)
        if handler is None:
            return _method_not_allowed(methods)
        return handler(request)

    def _index(self, _request: Request) -> Response:
        return self._page


def _method_not_allowed(methods: Iterable[str]) -> Response:
    allowed = [
        name
        for method in methods
        for name in ((method, "HEAD") if method == "GET" else (method,))
    ]
    # RFC 9110, 15.5.6: a 405 says what would have been allowed.
    allow = ", ".join(allowed)
    return evolve(text(f"allowed here: {allow}", 405), headers=(("Allow", allow),))
