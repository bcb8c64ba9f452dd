"""Pages for people: what a browser with or without a session gets."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from .png import square

CSS = """\
body { font: 16px/1.5 sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem; color: #223; }
h1 { font-size: 1.6rem; border-bottom: 1px solid #ccd; padding-bottom: 0.3rem; }
form p { display: grid; grid-template-columns: 8rem 1fr; gap: 0.5rem; }
button { padding: 0.3rem 1rem; }
nav a { margin-right: 1rem; }
"""

MEDIA = {"logo.png": square(0x2A6F97), "ward-a.png": square(0x468189), "ward-b.png": square(0xBC4749)}


@require_safe
def home(request):
    """The same URL for everybody, another text for those who are signed in, and no word to caches but `Vary: Cookie`."""
    return render(request, "clinic/home.html")


@require_safe
@login_required
def dashboard(request):
    return render(request, "clinic/dashboard.html")


@require_safe
@cache_control(private=True)
def notes(request):
    return render(request, "clinic/notes.html")


@require_safe
@cache_control(public=True, max_age=7 * 24 * 3600)
def style(request):
    return HttpResponse(CSS, content_type="text/css")


@require_safe
def media(request, file):
    """Pictures with a `Last-Modified` and no lifetime."""
    if file not in MEDIA:
        raise Http404
    return HttpResponse(
        MEDIA[file],
        content_type="image/png",
        headers={"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"},
    )
