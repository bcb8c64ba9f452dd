from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.staticfiles.views import serve
from django.urls import include, path, re_path
from rest_framework.routers import DefaultRouter

from . import api, odd, pages

router = DefaultRouter(use_regex_path=False)
router.include_root_view = False
router.include_format_suffixes = False
router.register("patients", api.PatientViewSet)
router.register("encounters", api.EncounterViewSet)

urlpatterns = [
    path("admin/", admin.site.urls),
    # Files of the admin and of Django REST; a real installation lets a web server give them.
    re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}),
    path("", pages.home),
    path("login/", LoginView.as_view(template_name="clinic/login.html")),
    path("logout/", LogoutView.as_view()),
    path("dashboard/", pages.dashboard),
    path("notes/", pages.notes),
    path("static-like/style.css", pages.style),
    path("media/<str:file>", pages.media),
    path("api/me/", api.Me.as_view()),
    path("api/", include(router.urls)),
    path("reports/<int:patient>/", odd.report),
    path("upload/", odd.upload),
    path("slow/", odd.slow),
    path("stream/", odd.stream),
    path("boom/", odd.boom),
    path("_count/", odd.count),
    re_path(r"^_echo/", odd.echo),
]
