from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    dependencies = [("library", "0010_catch_up")]

    # Release 1 stores addresses as they were typed; release 2 in lower case.
    operations = [
        migrations.AddConstraint(
            model_name="member",
            constraint=models.CheckConstraint(
                condition=models.Q(email=Lower("email")),
                name="library_member_email_lowercase",
            ),
        ),
    ]
