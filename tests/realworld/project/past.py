"""Bring the database to an earlier point of the history.

The first argument maps app labels to the newest migrations of that time, as JSON. With
a second one, "fill", there is some content from then.
"""

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import django
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

THEN = datetime(2021, 11, 4, 12, 0, tzinfo=UTC)


def travel(targets: dict[str, str]) -> Any:
    """Migrate, and return the models of that time."""
    executor = MigrationExecutor(connection)
    state = executor.migrate(list(targets.items()))
    # Its models were made one by one while it migrated, and don't fit together.
    apps = ProjectState(state.models, state.real_apps).apps
    emit_post_migrate_signal(0, False, connection.alias, apps=apps, plan=[])
    return apps


def has_field(model: Any, name: str) -> bool:
    return any(field.name == name for field in model._meta.get_fields())


def only_known(model: Any, **values: Any) -> Any:
    """Create a row of a model, which may lack fields by now or not have them yet."""
    return model.objects.create(
        **{name: value for name, value in values.items() if has_field(model, name)}
    )


def fill(apps: Any) -> None:
    """Write what an editor would."""
    get = apps.get_model
    editor = get("auth.User").objects.create(username="editor", email="e@example.com")
    get("wagtailusers.UserProfile").objects.create(
        user=editor, preferred_language="de", current_time_zone="Europe/Berlin"
    )
    collection = get("wagtailcore.Collection").objects.get(depth=1)
    image = get("wagtailimages.Image").objects.create(
        title="Eclipse",
        file="original_images/eclipse.png",
        width=4,
        height=3,
        collection=collection,
        uploaded_by_user=editor,
    )
    get("wagtailimages.Rendition").objects.create(
        image=image,
        filter_spec="width-2",
        file="images/eclipse.png",
        width=2,
        height=1,
    )
    get("wagtaildocs.Document").objects.create(
        title="Table", file="documents/table.pdf", collection=collection, file_size=7
    )
    get("wagtailembeds.Embed").objects.create(
        url="https://example.com/video",
        hash="1" * 32,
        type="video",
        html="<video>",
    )
    article = write_article(apps, editor, image)
    write_history(apps, editor, article)
    get("wagtailredirects.Redirect").objects.create(
        old_path="/old", redirect_page=article, is_permanent=True
    )
    form_data = {"answer": 42}
    submissions = get("wagtailforms.FormSubmission")
    is_text = submissions._meta.get_field("form_data").get_internal_type() != (
        "JSONField"
    )
    submissions.objects.create(
        page=article, form_data=json.dumps(form_data) if is_text else form_data
    )
    with suppress(LookupError):
        # Not before they had this model: Wagtail emptied the migration that brought
        # along what there was before.
        query = get("wagtailsearchpromotions.Query").objects.create(query_string="moon")
        get("wagtailsearchpromotions.SearchPromotion").objects.create(
            query=query, page=article, description="Promoted"
        )


def write_article(apps: Any, editor: Any, image: Any) -> Any:
    home = apps.get_model("home.HomePage").objects.get()
    home.numchild = 1
    home.save()
    content_type = apps.get_model("contenttypes.ContentType").objects.get(
        app_label="home", model="articlepage"
    )
    article = apps.get_model("home.ArticlePage").objects.create(
        path=home.path + "0001",
        depth=home.depth + 1,
        title="Conjunction",
        draft_title="Conjunction",
        slug="conjunction",
        url_path=home.url_path + "conjunction/",
        content_type=content_type,
        locale=home.locale,
        owner=editor,
        first_published_at=THEN,
        date=date(2021, 11, 4),
        body="<p>Three in a row.</p>",
        image=image,
    )
    tag = apps.get_model("taggit.Tag").objects.create(name="Moon", slug="moon")
    apps.get_model("home.ArticleTag").objects.create(content_object=article, tag=tag)
    apps.get_model("wagtailcore.PageViewRestriction").objects.create(
        page=article, restriction_type="password", password="open sesame"
    )
    return article


def write_history(apps: Any, editor: Any, article: Any) -> None:
    """Write revisions, what happened to them, and what was said about it."""
    get = apps.get_model
    page = get("wagtailcore.Page").objects.get(pk=article.pk)
    page_type = get("contenttypes.ContentType").objects.get(
        app_label="wagtailcore", model="page"
    )
    content = {
        "pk": page.pk,
        "title": "Conjunction",
        "content_type": page.content_type_id,
    }
    generic = {
        "object_id": str(page.pk),
        "content_type": page.content_type,
        "base_content_type": page_type,
    }
    try:
        revisions, page_or_object = get("wagtailcore.Revision"), generic
    except LookupError:
        revisions, page_or_object = get("wagtailcore.PageRevision"), {"page": page}
    revision = only_known(
        revisions,
        **page_or_object,
        content=content,
        content_json=json.dumps(content),
        created_at=THEN,
        user=editor,
        object_str="Conjunction",
    )
    page.live_revision = revision
    page.latest_revision_created_at = THEN
    page.latest_revision = revision
    page.save()
    workflow_states = get("wagtailcore.WorkflowState")
    state = workflow_states.objects.create(
        workflow=get("wagtailcore.Workflow").objects.get(),
        status="in_progress",
        requested_by=editor,
        **(generic if has_field(workflow_states, "object_id") else {"page": page}),
    )
    task_state = only_known(
        get("wagtailcore.TaskState"),
        workflow_state=state,
        revision=revision,
        page_revision=revision,
        task=get("wagtailcore.Task").objects.get(),
        status="in_progress",
        content_type=get("contenttypes.ContentType").objects.get(
            app_label="wagtailcore", model="taskstate"
        ),
    )
    state.current_task_state = task_state
    state.save()
    only_known(
        get("wagtailcore.PageLogEntry"),
        page=page,
        content_type=page.content_type,
        label="Conjunction",
        action="wagtail.publish",
        data_json='{"title": "Conjunction"}',
        data={"title": "Conjunction"},
        timestamp=THEN,
        user=editor,
        revision=revision,
    )
    get("wagtailcore.Comment").objects.create(
        page=page, user=editor, text="Four, even", contentpath="body"
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    django.setup()
    models = travel(json.loads(sys.argv[1]))
    if sys.argv[2:] == ["fill"]:
        fill(models)
