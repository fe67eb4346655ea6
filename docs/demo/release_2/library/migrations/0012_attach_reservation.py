import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0011_member_email_lowercase")]

    # Every release that is still alive knows that reservations refer to these.
    operations = [
        migrations.AlterField(
            model_name="reservation",
            name="book",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="reservations",
                to="library.book",
            ),
        ),
        migrations.AlterField(
            model_name="reservation",
            name="member",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="reservations",
                to="library.member",
            ),
        ),
    ]
