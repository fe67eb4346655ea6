from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0004_homepage_intro"),
    ]

    operations = [
        migrations.AlterField(
            model_name="homepage",
            name="subtitle",
            field=models.CharField(blank=True, db_default="", max_length=255),
        ),
    ]
