"""Wagtail's template for projects has this one, too."""

from django.db import migrations


def create_homepage(apps, schema_editor):
    content_types = apps.get_model("contenttypes.ContentType").objects
    page_type = content_types.get(app_label="wagtailcore", model="page")
    apps.get_model("wagtailcore.Page").objects.filter(
        content_type=page_type, slug="home", depth=2
    ).delete()
    homepage_type, _ = content_types.get_or_create(app_label="home", model="homepage")
    homepage = apps.get_model("home.HomePage").objects.create(
        title="Home",
        draft_title="Home",
        slug="home",
        content_type=homepage_type,
        path="00010001",
        depth=2,
        numchild=0,
        url_path="/home/",
        subtitle="Welcome",
    )
    apps.get_model("wagtailcore.Site").objects.create(
        hostname="localhost", root_page=homepage, is_default_site=True
    )


def remove_homepage(apps, schema_editor):
    apps.get_model("home.HomePage").objects.filter(slug="home", depth=2).delete()
    apps.get_model("contenttypes.ContentType").objects.filter(
        app_label="home", model="homepage"
    ).delete()


class Migration(migrations.Migration):
    run_before = [
        ("wagtailcore", "0053_locale_model"),
    ]

    dependencies = [
        ("home", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(create_homepage, remove_homepage),
    ]
