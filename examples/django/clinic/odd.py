"""What else a proxy meets: large bodies, slow answers, streams, failures, a mistake; and two mirrors for tests."""

import hashlib
import time

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import condition, require_POST, require_safe
from rest_framework.authtoken.models import Token

from .counting import counts


@csrf_exempt
@require_POST
def upload(request):
    """Reads the body in pieces and says what it was."""
    # Django reads as much as Content-Length says, which for a chunked body is nothing.
    chunked = request.headers.get("Transfer-Encoding", "").lower() == "chunked"
    body = request.environ["wsgi.input"] if chunked else request
    size, digest = 0, hashlib.sha256()
    while piece := body.read(64 * 1024):
        size += len(piece)
        digest.update(piece)
    return JsonResponse({"bytes": size, "sha256": digest.hexdigest()})


@require_safe
def slow(request):
    ms = _number(request, "ms", default=500, most=60_000)
    time.sleep(ms / 1000)
    return HttpResponse(f"slept {ms} ms\n", content_type="text/plain")


@require_safe
def stream(request):
    """Chunked, of a length that is not announced; `n` pieces, `gap_ms` apart."""
    count = _number(request, "n", default=5, most=10_000)
    gap = _number(request, "gap_ms", default=0, most=10_000) / 1000

    def pieces():
        for number in range(1, count + 1):
            if gap and number > 1:
                time.sleep(gap)
            yield f"piece {number} of {count}\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def _report_tag(request, patient):
    return f'"report-{patient}-1"'


# The decorators stand in the wrong order, as happens: whoever shows the right ETag gets a 304 before anybody has looked at who it is.
@require_safe
@condition(etag_func=_report_tag)
def report(request, patient):
    """For alice and bob, who show a token; the same for both."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    token = Token.objects.select_related("user").filter(key=key).first() if scheme == "Token" else None
    if token is None:
        return JsonResponse({"detail": "Who are you?"}, status=401)
    if token.user.username not in ("alice", "bob"):
        return JsonResponse({"detail": "Not for you."}, status=403)
    return JsonResponse({"patient": patient, "report": "The findings are confidential."})


def boom(request):
    raise RuntimeError("boom, as asked for")


@cache_control(no_store=True)
def count(request):
    """Requests by path since the start, without queries and without this path."""
    return JsonResponse(counts())


@csrf_exempt
def echo(request):
    """The request as it arrived here."""
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": request.META["QUERY_STRING"],
            "target": request.META.get("RAW_URI", ""),
            "headers": {name.lower(): value for name, value in sorted(request.headers.items())},
        }
    )


def _number(request, name, default, most):
    try:
        return min(max(int(request.GET.get(name, default)), 0), most)
    except ValueError:
        return default
