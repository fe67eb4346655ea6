from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("library", "0007_remove_book_shelf")]

    operations = [
        migrations.DeleteModel(name="Review"),
    ]
