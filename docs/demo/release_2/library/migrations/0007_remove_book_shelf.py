from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("library", "0006_detach_review")]

    operations = [
        migrations.RemoveField(model_name="book", name="shelf"),
    ]
