"""The models that the examples of the documentation start from."""

from django.db import models
from django.db.models.functions import Length


class Author(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)


class Tag(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name"], name="shop_tag_name")]


class Notice(models.Model):
    text = models.CharField(max_length=200)


class Book(models.Model):
    title = models.CharField(max_length=200)
    subtitle = models.CharField(max_length=200, null=True)
    isbn = models.CharField(max_length=13, unique=True)
    shelf = models.CharField(max_length=20)
    pages = models.IntegerField(db_default=0)
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
    tags = models.ManyToManyField(Tag)
    title_length = models.GeneratedField(
        expression=Length("title"), output_field=models.IntegerField(), db_persist=True
    )

    class Meta:
        indexes = [models.Index(fields=["pages"], name="shop_book_pages")]


class Chapter(models.Model):
    book = models.ForeignKey(Book, on_delete=models.CASCADE)
    heading = models.CharField(max_length=100)

    class Meta:
        order_with_respect_to = "book"
        unique_together = [("book", "heading")]
