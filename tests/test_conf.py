"""Settings: what they may say, and what people are told when they don't."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from syzygy import Stage, conf
from tests.command_helpers import CREATE, Project, source

pytest_plugins = ["tests.command_fixtures"]

OVERRIDE = "MIGRATION_STAGES_OVERRIDE"
FALLBACK = "MIGRATION_STAGES_FALLBACK"
THIRD_PARTY = "MIGRATION_THIRD_PARTY_STAGES_FALLBACK"
BASELINE = "MIGRATION_STAGES_BASELINE"

# The apps of these tests are those of Django that the test settings have.
KEY = "auth.0001_initial"


def problems(**settings: Any) -> list[tuple[str, str, str]]:
    with override_settings(**settings):
        return [(found.setting, found.message, found.hint) for found in conf.problems()]


def problem(**settings: Any) -> tuple[str, str, str]:
    (found,) = problems(**settings)
    return found


# What they may say


def test_without_settings_third_party_apps_fall_back_to_pre_deploy() -> None:
    assert vars(conf.read()) == {
        "override": {},
        "fallback": {},
        "third_party_fallback": Stage.PRE_DEPLOY,
        "baseline": {},
    }


@pytest.mark.parametrize("setting", [OVERRIDE, FALLBACK])
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("key", ["auth", KEY])
def test_stages_are_members_or_strings(setting: str, stage: Stage, key: str) -> None:
    for value in (stage, stage.value):
        with override_settings(**{setting: {key: value}}):
            configuration = conf.read()
        stages = {OVERRIDE: configuration.override, FALLBACK: configuration.fallback}
        assert stages.pop(setting) == {key: stage}
        assert list(stages.values()) == [{}]


@pytest.mark.parametrize(
    ("value", "stage"),
    [
        (Stage.POST_DEPLOY, Stage.POST_DEPLOY),
        ("post_deploy", Stage.POST_DEPLOY),
        ("pre_deploy", Stage.PRE_DEPLOY),
        (None, None),
    ],
)
def test_third_party_fallback(value: object, stage: Stage | None) -> None:
    with override_settings(**{THIRD_PARTY: value}):
        assert conf.read().third_party_fallback is stage


def test_baseline() -> None:
    baseline = {"auth": "0002_alter_permission_name_max_length"}
    with override_settings(**{BASELINE: baseline}):
        assert conf.read().baseline == baseline


def test_settings_are_read_whenever_they_are_asked_for() -> None:
    with override_settings(**{OVERRIDE: {"auth": "pre_deploy"}}):
        with override_settings(**{OVERRIDE: {"auth": "post_deploy"}}):
            assert conf.read().override == {"auth": Stage.POST_DEPLOY}
        assert conf.read().override == {"auth": Stage.PRE_DEPLOY}
    assert conf.read().override == {}


@pytest.mark.parametrize(
    "settings",
    [
        {OVERRIDE: {"auth": "pre_deploy", KEY: "never", "nope": "pre_deploy", 1: 2}},
        {FALLBACK: {"auth": Stage.PRE_DEPLOY, "auth.nope": []}},
        {BASELINE: {"auth": "0001_initial", "nope": "0001_initial", 3: None}},
    ],
)
def test_settings_are_never_changed(settings: dict[str, dict[Any, Any]]) -> None:
    before = copy.deepcopy(settings)
    with override_settings(**settings):
        conf.problems()
        conf.read_leniently()
    assert settings == before
    # Nor is anything tried that a mapping needn't be able to do.
    frozen = {name: MappingProxyType(value) for name, value in settings.items()}
    assert problems(**frozen) == problems(**settings)


def test_names_of_migrations_are_those_in_migration_modules(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    project.write("history/blog/0001_moved.py", source(CREATE).text(None))
    with project.active(MIGRATION_MODULES={"blog": "history.blog"}):
        assert problems(**{OVERRIDE: {"blog.0001_moved": "pre_deploy"}}) == []
        assert problem(**{BASELINE: {"blog": "0001_initial"}})[1] == (
            f'The setting "{BASELINE}" names \'blog.0001_initial\', but "0001_initial" '
            'is no migration of the app "blog".'
        )
    with project.active(MIGRATION_MODULES={"blog": None}):
        assert problem(**{BASELINE: {"blog": "0001_initial"}})[2] == (
            "Correct or remove it."
        )


def test_keys_are_app_labels_rather_than_names(project: Project) -> None:
    project.write("company/blog/migrations/0001_initial.py", source(CREATE).text(None))
    project.write(
        "company/blog/apps.py",
        "from django.apps import AppConfig\n"
        "class BlogConfig(AppConfig):\n"
        "    name = 'company.blog'\n"
        "    label = 'news'\n",
    )
    project.installed.append("company.blog")
    with project.active():
        assert problems(**{OVERRIDE: {"news.0001_initial": "pre_deploy"}}) == []
        assert problem(**{OVERRIDE: {"company.blog": "pre_deploy"}})[1:] == (
            f'The setting "{OVERRIDE}" names \'company.blog\', but "company" is no '
            "app label.",
            "Correct or remove it.",
        )


# What they may not say

BAD_STAGE = "Use Stage.PRE_DEPLOY, Stage.POST_DEPLOY, "
NO_DICTIONARY = "Make it a dictionary that maps names to values."


@pytest.mark.parametrize(
    ("setting", "value", "message", "hint"),
    [
        (
            OVERRIDE,
            {KEY: "pre"},
            f"has 'pre' for '{KEY}', which is no stage",
            BAD_STAGE,
        ),
        (FALLBACK, {"auth": 1}, "has 1 for 'auth', which is no stage", BAD_STAGE),
        (OVERRIDE, {"auth": None}, "has None for 'auth', which is no", BAD_STAGE),
        (OVERRIDE, {"auth": "PRE_DEPLOY"}, "has 'PRE_DEPLOY' for", BAD_STAGE),
        # What reports call it.
        (OVERRIDE, {"auth": "pre-deploy"}, "has 'pre-deploy' for", BAD_STAGE),
        (FALLBACK, {"auth": ["pre_deploy"]}, "has ['pre_deploy'] for", BAD_STAGE),
        (FALLBACK, {"auth": {}}, "has {} for 'auth', which is no stage", BAD_STAGE),
        (THIRD_PARTY, "later", "has 'later', which is no stage", BAD_STAGE),
        (THIRD_PARTY, False, "has False, which is no stage", BAD_STAGE),
        (THIRD_PARTY, {}, "has {}, which is no stage", BAD_STAGE),
        (THIRD_PARTY, "", "has '', which is no stage", BAD_STAGE),
        (OVERRIDE, "pre_deploy", "is no dictionary but 'pre_deploy'", NO_DICTIONARY),
        (OVERRIDE, None, "is no dictionary but None", NO_DICTIONARY),
        (FALLBACK, [], "is no dictionary but []", NO_DICTIONARY),
        (FALLBACK, Stage.PRE_DEPLOY, "is no dictionary but ", NO_DICTIONARY),
        (BASELINE, [("auth", "0001_initial")], "is no dictionary", NO_DICTIONARY),
        (OVERRIDE, {1: "pre_deploy"}, "has the key 1, which is no string", "app label"),
        (OVERRIDE, {None: "pre_deploy"}, "has the key None, which", "app label"),
        (FALLBACK, {("auth", "0001_initial"): "pre_deploy"}, "('auth', '0001", "Use"),
        (FALLBACK, {Stage.PRE_DEPLOY: "auth"}, "has the key <Stage.", "Use app labels"),
        (BASELINE, {b"auth": "0001_initial"}, "has the key b'auth', which", "Use app"),
        (
            OVERRIDE,
            {"atuh": "pre_deploy"},
            "names 'atuh', but \"atuh\" is no app label.",
            'Did you mean "auth"?',
        ),
        (
            OVERRIDE,
            {"xyz.0001_initial": "pre_deploy"},
            "names 'xyz.0001_initial', but \"xyz\" is no app label.",
            "Correct or remove it.",
        ),
        (OVERRIDE, {"Auth": "pre_deploy"}, "names 'Auth'", 'Did you mean "auth"?'),
        (OVERRIDE, {"": "pre_deploy"}, "names '', but \"\" is no app", "Correct or"),
        (OVERRIDE, {"auth.": "pre_deploy"}, "names 'auth.'", "Correct or remove it."),
        (OVERRIDE, {".0001_initial": "pre_deploy"}, "names '.0001_ini", "Correct or"),
        (OVERRIDE, {" auth": "pre_deploy"}, "names ' auth'", 'Did you mean "auth"?'),
        (
            FALLBACK,
            {"auth.0001_inital": "pre_deploy"},
            '"0001_inital" is no migration of the app "auth".',
            'Did you mean "0001_initial"?',
        ),
        (
            FALLBACK,
            {"auth.0001": "post_deploy"},
            '"0001" is no migration',
            'Did you mean "0001_initial"?',
        ),
        # Of the number, whatever else is more similar; or of the name.
        (
            BASELINE,
            {"auth": "0003_alter_permission_name_max_len"},
            '"0003_alter_permission_name_max_len" is no migration',
            'Did you mean "0003_alter_user_email_max_length"?',
        ),
        (
            OVERRIDE,
            {"auth.0003_alter_permission_name_max_length": "pre_deploy"},
            "is no migration",
            'Did you mean "0002_alter_permission_name_max_length"?',
        ),
        (
            OVERRIDE,
            {"auth.0093_alter_user_emial_max_length": "pre_deploy"},
            "is no migration",
            'Did you mean "0003_alter_user_email_max_length"?',
        ),
        (FALLBACK, {f"{KEY}.x": "post_deploy"}, "'auth.0001_initial.x'", "Did you"),
        (FALLBACK, {"auth.__init__": "pre_deploy"}, '"__init__" is no mig', "Correct"),
        (FALLBACK, {"auth.*": "pre_deploy"}, '"*" is no migration', "Correct"),
        (
            FALLBACK,
            {"django.contrib.auth": "pre_deploy"},
            "names 'django.contrib.auth', but \"django\" is no app label.",
            "Correct or remove it.",
        ),
        # An app without migrations.
        (FALLBACK, {"syzygy.0001_initial": "pre_deploy"}, '"0001_initial" is', "Corr"),
        (BASELINE, {"auth": "0099_x"}, 'but "0099_x" is no migration of', "Correct or"),
        (BASELINE, {"auth": ""}, "auth", ""),
        (BASELINE, {"auth": None}, "has None for 'auth', which is no", "Map app label"),
        (BASELINE, {"auth": 1}, "has 1 for 'auth', which is no mig", "Map app labels"),
        (BASELINE, {"auth": Stage.PRE_DEPLOY}, "has <Stage.PRE_DEPLOY:", "Map app"),
        (BASELINE, {"nope": "0001_initial"}, '"nope" is no app label.', "Correct"),
        (BASELINE, {KEY: "0001_initial"}, '"0001_initial.0001_initial" is no', "Did"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(
    setting: str, value: object, message: str, hint: str
) -> None:
    told_setting, told_message, told_hint = problem(**{setting: value})
    assert told_setting == setting
    assert told_message.startswith(f'The setting "{setting}" ')
    assert message in told_message
    assert told_message.endswith(".")
    assert hint in told_hint
    assert "\n" not in told_message + told_hint
    with (
        override_settings(**{setting: value}),
        pytest.raises(ImproperlyConfigured) as caught,
    ):
        conf.read()
    assert str(caught.value) == f"{told_message} {told_hint}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MIGRATION_STAGES_OVERRIDES", OVERRIDE),
        ("MIGRATION_STAGES_OVERIDE", OVERRIDE),
        ("MIGRATION_STAGES_FALLBACKS", FALLBACK),
        ("MIGRATION_STAGES_BASE_LINE", BASELINE),
        ("MIGRATION_THIRD_PARTY_FALLBACK", THIRD_PARTY),
        ("MIGRATION_THIRD_PARTY_STAGE_FALLBACK", THIRD_PARTY),
        ("MIGRATION_STAGES_THIRD_PARTY_FALLBACK", THIRD_PARTY),
        ("MIGRATION_STAGE_OVERRIDE", OVERRIDE),
        ("MIGRATIONS_STAGES_OVERRIDE", OVERRIDE),
        ("MIGRATE_STAGES_BASELINE", BASELINE),
        ("MIGRATE_LOCK", "MIGRATION_LOCK"),
    ],
)
def test_misspelt_settings(name: str, meant: str) -> None:
    values: tuple[object, ...] = ({}, None, "pre_deploy")
    for value in values:
        assert problem(**{name: value}) == (
            name,
            f'The setting "{name}" is unknown.',
            f'Rename it to "{meant}" or remove it.',
        )


@pytest.mark.parametrize(
    "name",
    [
        "MIGRATION_MODULES",
        "MIGRATION_QUORUM_BACKEND",
        "MIGRATE_QUORUM_BACKEND",
        "MIGRATION_LINTER_OPTIONS",
    ],
)
def test_other_settings_are_nobody_s_business(name: str) -> None:
    assert problems(**{name: {}}) == []


def test_every_problem_is_told() -> None:
    settings = {
        OVERRIDE: {"nope": "never", "auth": "always", "atuh": "pre_deploy"},
        FALLBACK: 5,
        THIRD_PARTY: "soon",
        BASELINE: {"auth": 1},
        "MIGRATION_STAGES": {},
    }
    told = problems(**settings)
    assert sorted(setting for setting, _, _ in told) == [
        "MIGRATION_STAGES",
        BASELINE,
        FALLBACK,
        OVERRIDE,
        OVERRIDE,
        OVERRIDE,
        THIRD_PARTY,
    ]


def test_what_makes_sense_beside_what_does_not_counts() -> None:
    settings = {
        OVERRIDE: {"auth": "always", KEY: "post_deploy"},
        FALLBACK: 5,
        BASELINE: {"auth": 1, "contenttypes": "0001_initial"},
    }
    with override_settings(**settings):
        configuration = conf.read_leniently()
    assert vars(configuration) == {
        "override": {KEY: Stage.POST_DEPLOY},
        "fallback": {},
        "third_party_fallback": Stage.PRE_DEPLOY,
        "baseline": {"contenttypes": "0001_initial"},
    }


def test_a_malformed_third_party_fallback_leaves_the_default() -> None:
    """Else one typing error floods people with the migrations of their packages."""
    with override_settings(**{THIRD_PARTY: "predeploy"}):
        configuration = conf.read_leniently()
    assert configuration.third_party_fallback is Stage.PRE_DEPLOY


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=4),
        st.sampled_from([*Stage, "pre_deploy", "post_deploy", "0001_initial"]),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.tuples(children, children),
        st.dictionaries(st.text(max_size=3), children, max_size=3),
    ),
    max_leaves=5,
)
KEYS = st.one_of(
    st.sampled_from(["auth", KEY, "auth.nope", "contenttypes", "nope"]),
    st.text(max_size=8),
    st.integers(),
    st.none(),
    st.tuples(st.text(max_size=3)),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(st.dictionaries(KEYS, ANYTHING, max_size=4), ANYTHING)
        for name in (OVERRIDE, FALLBACK, THIRD_PARTY, BASELINE)
    },
)


def entries(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict) and name != THIRD_PARTY:
            yield from ((name, key, item) for key, item in value.items())


@given(SETTINGS)
def test_whatever_settings_say_they_are_read_or_complained_of(
    settings: dict[str, Any],
) -> None:
    with override_settings(**settings):
        found = [(each.setting, each.message, each.hint) for each in conf.problems()]
        configuration = conf.read_leniently()
    for setting, message, hint in found:
        assert setting in settings
        assert message.startswith(f'The setting "{setting}" ')
        assert hint
    # Nothing is dropped without a word.
    complaints = {
        name: [message for setting, message, _ in found if setting == name]
        for name in settings
    }
    kept = {
        OVERRIDE: configuration.override,
        FALLBACK: configuration.fallback,
        BASELINE: configuration.baseline,
    }
    for name, key, item in entries(settings):
        if key not in kept[name]:
            assert any(repr(key) in message for message in complaints[name])
        elif name == BASELINE:
            assert kept[name][key] == item
        else:
            assert kept[name][key] is Stage(item)


def test_folders_that_only_look_like_migrations_do_not_count(project: Project) -> None:
    project.app("blog", {"0001_initial": source(CREATE), "_0002_draft": source()})
    (project.path / "blog/migrations/0003_package").mkdir()
    (project.path / "blog/migrations/0003_package/__init__.py").touch()
    (project.path / "blog/migrations/README.txt").touch()
    with project.active():
        for name in (
            "0003_package",
            "README",
            "_0002_draft",
            "../migrations/0001_initial",
        ):
            assert len(problems(**{OVERRIDE: {f"blog.{name}": "pre_deploy"}})) == 1, (
                name
            )


def test_compiled_migrations_count(project: Project, tmp_path: Path) -> None:
    """Some people ship no source code."""
    import py_compile

    project.app("blog", {"0001_initial": source(CREATE)})
    file = project.path / "blog/migrations/0001_initial.py"
    py_compile.compile(str(file), cfile=f"{file}c", doraise=True)
    file.unlink()
    with project.active():
        assert problems(**{OVERRIDE: {"blog.0001_initial": "pre_deploy"}}) == []


def test_migrations_that_cannot_be_found_are_another_check_s_business(
    project: Project,
) -> None:
    project.app("blog", {"0001_initial": source(CREATE)})
    project.write("broken/__init__.py", "raise RuntimeError('not today')\n")
    with project.active(MIGRATION_MODULES={"blog": "broken.migrations"}):
        assert problems(**{OVERRIDE: {"blog.0001_initial": "pre_deploy"}}) == []
        assert problems(**{BASELINE: {"blog": "0001_initial"}}) == []
        assert len(problems(**{OVERRIDE: {"blog.": "pre_deploy"}})) == 1
