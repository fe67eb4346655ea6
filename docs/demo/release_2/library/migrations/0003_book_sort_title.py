from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0002_book_language")]

    operations = [
        migrations.AddField(
            model_name="book",
            name="sort_title",
            field=models.CharField(editable=False, max_length=200, null=True),
        ),
    ]
