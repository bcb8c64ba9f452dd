"""How many requests reached this process, by path: what a cache in front is meant to lower."""

from collections import Counter

seen = Counter()


class CountingMiddleware:
    """Plain ASGI, so that streams pass untouched. Reading the count does not count."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] != "/_count":
            seen[scope["path"]] += 1
        await self.app(scope, receive, send)
