from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse


class JsonErrors:
    """Answer an exception with its text, which a real site would only log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse:
        status = 404 if isinstance(exception, Http404) else 500
        error = f"{type(exception).__name__}: {exception}"
        return JsonResponse({"error": error}, status=status)
