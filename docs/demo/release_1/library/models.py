from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    shelf = models.CharField(max_length=20)


class Member(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField()


class Loan(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="loans")
    member = models.ForeignKey(Member, models.CASCADE, related_name="loans")
    due = models.DateField()


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    text = models.TextField()
