from django.urls import path
from library.views import Collection, Item, resources

urlpatterns = []
for name, resource in resources.items():
    urlpatterns += [
        path(f"{name}/", Collection.as_view(**resource)),
        path(f"{name}/<int:pk>/", Item.as_view(**resource)),
    ]
