"""The API. Every answer says who it was made for (`seen_by`), so that an answer in the wrong hands is seen at once."""

from rest_framework import pagination, serializers, views, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from .models import Encounter, Patient


class Pages(pagination.PageNumberPagination):
    page_size = 10
    page_size_query_param = "page_size"
    max_page_size = 100


class SeenBy(serializers.ModelSerializer):
    seen_by = serializers.SerializerMethodField()

    def get_seen_by(self, _):
        return self.context["request"].user.username


class PatientSerializer(SeenBy):
    class Meta:
        model = Patient
        fields = ["id", "name", "birth_date", "ward", "allergies", "seen_by"]


class EncounterSerializer(SeenBy):
    patient_id = serializers.PrimaryKeyRelatedField(source="patient", queryset=Patient.objects.all())

    class Meta:
        model = Encounter
        fields = ["id", "patient_id", "date", "reason", "note", "seen_by"]


class PatientViewSet(viewsets.ModelViewSet):
    queryset = Patient.objects.all()
    serializer_class = PatientSerializer
    pagination_class = Pages
    lookup_value_converter = "int"

    @action(detail=True)
    def encounters(self, request, pk):
        found = self.get_object().encounters.all()
        return Response(EncounterSerializer(found, many=True, context={"request": request}).data)


class EncounterViewSet(viewsets.ModelViewSet):
    queryset = Encounter.objects.all()
    serializer_class = EncounterSerializer
    pagination_class = Pages
    lookup_value_converter = "int"


class Me(views.APIView):
    def get(self, request):
        return Response({"username": request.user.username, "by": "token" if request.auth else "session"})
