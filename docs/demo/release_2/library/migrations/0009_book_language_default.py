from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0008_delete_review")]

    # Release 2 always names a language, so the database's own default can go.
    operations = [
        migrations.AlterField(
            model_name="book",
            name="language",
            field=models.CharField(default="en", max_length=8),
        ),
    ]
