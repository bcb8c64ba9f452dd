from django.contrib import admin

from .models import Encounter, Patient


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):
    list_display = ["id", "name", "ward"]
    list_filter = ["ward"]
    search_fields = ["name"]


@admin.register(Encounter)
class EncounterAdmin(admin.ModelAdmin):
    list_display = ["id", "patient_id", "date", "reason"]
    autocomplete_fields = ["patient"]
