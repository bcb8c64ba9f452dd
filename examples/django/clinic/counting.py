"""How many requests reached this process, by path: what a cache in front is meant to lower."""

from collections import Counter
from threading import Lock

_lock = Lock()
_seen = Counter()


class CountingMiddleware:
    """Outermost, so that it counts what later middleware answers too. Reading the count does not count."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path != "/_count/":
            with _lock:
                _seen[request.path] += 1
        return self.get_response(request)


def counts():
    with _lock:
        return dict(sorted(_seen.items()))
