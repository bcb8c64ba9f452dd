from django.db import models


class Patient(models.Model):
    name = models.CharField(max_length=100)
    birth_date = models.DateField()
    ward = models.CharField(max_length=40, blank=True)
    allergies = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]


class Encounter(models.Model):
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="encounters")
    date = models.DateField()
    reason = models.CharField(max_length=100)
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
