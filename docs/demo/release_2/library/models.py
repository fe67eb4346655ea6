from typing import Any

from django.db import models
from django.db.models.functions import Lower


class Author(models.Model):
    name = models.CharField(max_length=100)


def sort_title(title: str) -> str:
    """Return the title as a catalogue sorts it: "The Trial" is "Trial, The"."""
    article, _, rest = title.partition(" ")
    return f"{rest}, {article}" if article in {"A", "An", "The"} and rest else title


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    language = models.CharField(max_length=8, default="en")
    # Empty in the rows that release 1 writes; a later release makes it NOT NULL.
    sort_title = models.CharField(max_length=200, null=True, editable=False)

    @property
    def catalogue_title(self) -> str:
        return self.sort_title or sort_title(self.title)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.sort_title = sort_title(self.title)
        super().save(*args, **kwargs)


class Member(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")),
                name="library_member_email_lowercase",
            )
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower()
        super().save(*args, **kwargs)


class Loan(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="loans")
    member = models.ForeignKey(Member, models.CASCADE, related_name="loans")
    due = models.DateField()


class Reservation(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reservations")
    member = models.ForeignKey(Member, models.CASCADE, related_name="reservations")
