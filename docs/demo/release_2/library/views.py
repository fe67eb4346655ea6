import json
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views import View

from .models import Author, Book, Loan, Member, Reservation


class ResourceView(View):
    model: type[models.Model] = models.Model
    fields: tuple[str, ...] = ()

    def as_json(self, row: models.Model) -> dict[str, Any]:
        return {"id": row.pk} | {field: getattr(row, field) for field in self.fields}

    def save(self, row: models.Model) -> JsonResponse:
        for field, value in json.loads(self.request.body).items():
            if field not in self.fields:
                error = f"There is no field {field!r}."
                return JsonResponse({"error": error}, status=400)
            setattr(row, field, value)
        row.save()
        return JsonResponse(self.as_json(row))


class Collection(ResourceView):
    def get(self, request: HttpRequest) -> HttpResponse:
        newest = self.model._default_manager.order_by("-pk")[:20]
        return JsonResponse({"results": [self.as_json(row) for row in newest]})

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.save(self.model())


class Item(ResourceView):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(self.as_json(get_object_or_404(self.model, pk=pk)))

    def patch(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self.save(get_object_or_404(self.model, pk=pk))

    def delete(self, request: HttpRequest, pk: int) -> HttpResponse:
        get_object_or_404(self.model, pk=pk).delete()
        return HttpResponse(status=204)


resources: dict[str, dict[str, Any]] = {
    "authors": {"model": Author, "fields": ("name",)},
    "books": {
        "model": Book,
        "fields": ("title", "author_id", "language", "catalogue_title"),
    },
    "members": {"model": Member, "fields": ("name", "email")},
    "loans": {"model": Loan, "fields": ("book_id", "member_id", "due")},
    "reservations": {"model": Reservation, "fields": ("book_id", "member_id")},
}
