from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0005_relax_subtitle"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="homepage",
            name="subtitle",
        ),
    ]
