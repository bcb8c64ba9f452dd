"""What the service knows: two tenants, their people, their patients. In memory, the same after every start."""

from itertools import count

USERS = {"a": ["doctor1", "nurse1"], "b": ["doctor1", "nurse1"]}

FIRST = {"a": ["Awa", "Boubacar", "Coumba", "Djeneba"], "b": ["Anna", "Bruno", "Clara", "Denis", "Eva"]}
LAST = {"a": ["Keita", "Traore", "Diallo"], "b": ["Martin", "Petit"]}
SIZE = {"a": 20, "b": 12}


class Tenant:
    """One clinic. Its patients are numbered from 1, as every other clinic's are."""

    def __init__(self, name):
        self.name = name
        self.patients = {number: self._patient(number) for number in range(1, SIZE[name] + 1)}
        self.numbers = count(SIZE[name] + 1)
        self.documents = 0

    def _patient(self, number):
        first, last = FIRST[self.name], LAST[self.name]
        name = f"{first[number % len(first)]} {last[number % len(last)]}"
        return {"id": number, "tenant": self.name, "name": name, "email": f"patient{number}@{self.name}.example", "version": 1}


TENANTS = {name: Tenant(name) for name in USERS}
