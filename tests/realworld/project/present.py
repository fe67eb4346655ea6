"""Read with today's models what ``past.py`` wrote, and write what they can.

The content goes to stdout, as JSON.
"""

import json
import os
import sys
from typing import Any

import django
from django.db import transaction


def read() -> dict[str, Any]:
    """Return the content, as far as it doesn't depend on when it was written."""
    from home.models import ArticlePage, HomePage
    from wagtail.contrib.forms.models import FormSubmission
    from wagtail.contrib.redirects.models import Redirect
    from wagtail.contrib.search_promotions.models import SearchPromotion
    from wagtail.documents.models import Document
    from wagtail.embeds.models import Embed
    from wagtail.images.models import Image
    from wagtail.models import GroupPagePermission, PageLogEntry, Site, WorkflowState
    from wagtail.users.models import UserProfile

    article = ArticlePage.objects.get()
    workflow_state = WorkflowState.objects.get()
    return {
        "site": Site.objects.get().root_page.specific_class.__name__,
        "home": HomePage.objects.get().title,
        "article": [article.title, article.body, article.url_path, str(article.locale)],
        "owner": article.owner.username,
        "image": [article.image.title, article.image.renditions.get().width],
        "tags": [tag.name for tag in article.tags.all()],
        "revision": article.latest_revision.content["title"],
        "live revision": article.live_revision_id == article.latest_revision_id,
        "restriction": article.view_restrictions.get().restriction_type,
        "comment": article.wagtail_admin_comments.get().text,
        "workflow": [
            str(workflow_state.content_object.title),
            workflow_state.current_task_state.revision_id == article.latest_revision_id,
        ],
        "log": [[entry.action, entry.data] for entry in PageLogEntry.objects.all()],
        "document": [d.title for d in Document.objects.all()],
        "embed": [embed.url for embed in Embed.objects.all()],
        "redirect": Redirect.objects.get(old_path="/old").redirect_page.title,
        "form": FormSubmission.objects.get().form_data,
        "promotions": [
            [promotion.query.query_string, promotion.page.title]
            for promotion in SearchPromotion.objects.all()
        ],
        "profile": UserProfile.objects.get(user=article.owner).preferred_language,
        "editors": sorted(
            GroupPagePermission.objects.filter(group__name="Editors").values_list(
                "permission__codename", flat=True
            )
        ),
        "images": [image.title for image in Image.objects.all()],
    }


def write() -> None:
    """Do what an editor does, and undo it."""
    from home.models import ArticlePage, HomePage

    with transaction.atomic():
        article = ArticlePage.objects.get()
        article.title = "Opposition"
        article.save_revision(user=article.owner, log_action=True).publish()
        home = HomePage.objects.get()
        child = home.add_child(instance=HomePage(title="More", slug="more"))
        child.save_revision(user=article.owner).publish()
        child.copy(update_attrs={"slug": "copy"}, user=article.owner)
        child.delete()
        article.delete()
        transaction.set_rollback(True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    django.setup()
    content = read()
    write()
    json.dump(content, sys.stdout)
