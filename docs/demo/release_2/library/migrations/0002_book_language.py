from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]

    # Release 1 inserts books without a language: the database fills it in.
    operations = [
        migrations.AddField(
            model_name="book",
            name="language",
            field=models.CharField(db_default="en", default="en", max_length=8),
        ),
    ]
