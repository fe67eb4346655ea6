from typing import Any

from django.db import migrations, models
from django.db.models.functions import Lower

from syzygy import Stage


def fill_sort_titles(apps: Any, schema_editor: Any) -> None:
    Book = apps.get_model("library", "Book")
    for book in Book.objects.filter(sort_title=None).iterator():
        article, _, rest = book.title.partition(" ")
        moved = article in {"A", "An", "The"} and rest
        book.sort_title = f"{rest}, {article}" if moved else book.title
        book.save(update_fields=["sort_title"])


def lower_emails(apps: Any, schema_editor: Any) -> None:
    apps.get_model("library", "Member").objects.update(email=Lower("email"))


def drop_orphaned_reservations(apps: Any, schema_editor: Any) -> None:
    Book = apps.get_model("library", "Book")
    Member = apps.get_model("library", "Member")
    Reservation = apps.get_model("library", "Reservation")
    Reservation.objects.exclude(
        models.Exists(Book.objects.filter(pk=models.OuterRef("book_id"))),
        models.Exists(Member.objects.filter(pk=models.OuterRef("member_id"))),
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("library", "0009_book_language_default")]

    # RunPython would be taken for pre-deploy work. Release 1 leaves such rows behind
    # as long as it runs, so only what runs after it finds them all.
    stage = Stage.POST_DEPLOY

    operations = [
        migrations.RunPython(fill_sort_titles, migrations.RunPython.noop),
        migrations.RunPython(lower_emails, migrations.RunPython.noop),
        migrations.RunPython(drop_orphaned_reservations, migrations.RunPython.noop),
    ]
