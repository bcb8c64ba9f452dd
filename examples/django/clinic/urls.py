from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from rest_framework.routers import DefaultRouter

from . import api, odd, pages

router = DefaultRouter(use_regex_path=False)
router.include_root_view = False
router.include_format_suffixes = False
router.register("patients", api.PatientViewSet)
router.register("encounters", api.EncounterViewSet)

urlpatterns = [
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
