from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0004_reservation")]

    # Release 2 inserts books without a shelf: the database fills it in.
    operations = [
        migrations.AlterField(
            model_name="book",
            name="shelf",
            field=models.CharField(db_default="", max_length=20),
        ),
    ]
