"""Fills an empty database; what is there already stays as it is."""

from datetime import date, timedelta

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction
from rest_framework.authtoken.models import Token

from clinic.models import Encounter, Patient

USERS = ["alice", "bob", "carol"]
FIRST = ["Awa", "Bengt", "Chiara", "Dmitri", "Elif"]
LAST = ["Keita", "Lindqvist", "Moretti", "Novak"]
WARDS = ["cardiology", "maternity", "surgery"]
REASONS = ["check-up", "fever", "vaccination", "follow-up", "fracture"]


class Command(BaseCommand):
    help = __doc__

    @transaction.atomic
    def handle(self, *args, **options):
        for name in USERS:
            user, new = User.objects.get_or_create(username=name)
            if new:
                user.set_password(f"{name}-pass")
                user.is_staff = user.is_superuser = name == "alice"  # who may use /admin/
                user.save()
            Token.objects.get_or_create(user=user, defaults={"key": f"token-{name}"})
        for number in range(1, 21):
            Patient.objects.get_or_create(
                id=number,
                defaults={
                    "name": f"{FIRST[number % 5]} {LAST[number % 4]}",
                    "birth_date": date(1940, 1, 1) + timedelta(days=977 * number),
                    "ward": WARDS[number % 3],
                    "allergies": "penicillin" if number % 4 == 0 else "",
                },
            )
        for number in range(1, 41):
            Encounter.objects.get_or_create(
                id=number,
                defaults={
                    "patient_id": (number - 1) % 20 + 1,
                    "date": date(2025, 1, 1) + timedelta(days=number),
                    "reason": REASONS[number % 5],
                    "note": f"Encounter number {number}.",
                },
            )
        self.stdout.write(f"{User.objects.count()} users, {Patient.objects.count()} patients, {Encounter.objects.count()} encounters")
