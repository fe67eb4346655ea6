"""Where the migrations of Wagtail and of its companions stood at its past releases."""

# Of Django 4.1 and newer
DJANGO = {
    "admin": "0003_logentry_add_action_flag_choices",
    "auth": "0012_alter_user_first_name_max_length",
    "contenttypes": "0002_remove_content_type_name",
    "flatpages": "0001_initial",
    "redirects": "0002_alter_redirect_new_path_help_text",
    "sessions": "0001_initial",
    "sites": "0002_alter_domain_unique",
}

# Long-term support, November 2022
WAGTAIL_4_1 = DJANGO | {
    "authtoken": "0003_tokenproxy",
    "home": "0003_articles",
    "simple_translation": "0001_initial",
    "taggit": "0005_auto_20220424_2025",
    "wagtailadmin": "0003_admin_managed",
    "wagtailcore": "0078_referenceindex",
    "wagtaildocs": "0012_uploadeddocument",
    "wagtailembeds": "0009_embed_cache_until",
    "wagtailforms": "0005_alter_formsubmission_form_data",
    "wagtailimages": "0024_index_image_file_hash",
    "wagtailredirects": "0008_add_verbose_name_plural",
    "wagtailsearch": "0007_delete_editorspick",
    "wagtailsearchpromotions": "0002_capitalizeverbose",
    "wagtailusers": "0011_userprofile_dismissibles",
}

# Long-term support, May 2025
WAGTAIL_7_0 = WAGTAIL_4_1 | {
    "authtoken": "0004_alter_tokenproxy_options",
    "taggit": (
        "0006_rename_taggeditem_content_type_object_id_taggit_tagg_content_8fc721_idx"
    ),
    "wagtailadmin": "0005_editingsession_is_editing",
    "wagtailcore": "0094_alter_page_locale",
    "wagtaildocs": "0014_alter_document_file_size",
    "wagtailimages": "0027_image_description",
    "wagtailsearch": "0009_remove_ngram_autocomplete",
    "wagtailsearchpromotions": "0007_searchpromotion_external_link_text_and_more",
    "wagtailusers": "0014_userprofile_contrast",
}
