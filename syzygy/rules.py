"""What each operation does to a rolling deployment, as data.

The catalogue follows two questions: does the running release survive when the operation
is applied before the rollout, and does the new one when it is applied after it? The
answers were measured on PostgreSQL, MariaDB and SQLite; ``docs/reference/rules.rst``
has an entry for each rule. Which rules an operation falls under is told by
:mod:`syzygy.requirements`.
"""

from typing import NamedTuple

from syzygy.constants import Stage

PRE = Stage.PRE_DEPLOY
POST = Stage.POST_DEPLOY


class Rule(NamedTuple):
    """One row of the catalogue.

    ``required`` is the only stage in which the operation may run, ``preferred`` the one
    in which it runs when nothing is required; neither of them: it has no effect on the
    database. Where ``stageable`` is false no order within one deployment is safe. With
    a ``caveat`` the stage is only that of the main effect: something breaks even there.
    ``remedy`` says what to do instead, where another stage is not enough.
    """

    code: str
    why: str
    required: Stage | None = None
    preferred: Stage | None = None
    stageable: bool = True
    caveat: str = ""
    remedy: str = ""

    @property
    def split(self) -> bool:
        """Whether only several operations in different stages are safe."""
        return bool(self.caveat)

    @property
    def stage(self) -> Stage | None:
        """The stage in which an operation runs that falls under no other rule."""
        return self.required or self.preferred

    @property
    def has_effect(self) -> bool:
        """Whether the operation does anything to the database."""
        return bool(self.required or self.preferred or not self.stageable)


_CATALOGUE: dict[str, Rule] = {}


def _add(rule: Rule) -> Rule:
    _CATALOGUE[rule.code] = rule
    return rule


def catalogue() -> dict[str, Rule]:
    """All rules by code, in the order of the documentation."""
    return dict(_CATALOGUE)


def _pre(code: str, why: str, caveat: str = "", remedy: str = "") -> Rule:
    return _add(Rule(code, why, required=PRE, caveat=caveat, remedy=remedy))


def _post(code: str, why: str, caveat: str = "", remedy: str = "") -> Rule:
    return _add(Rule(code, why, required=POST, caveat=caveat, remedy=remedy))


def _either(code: str, why: str, preferred: Stage | None) -> Rule:
    return _add(Rule(code, why, preferred=preferred))


def _never(code: str, why: str, remedy: str) -> Rule:
    return _add(Rule(code, why, stageable=False, remedy=remedy))


# What is done instead of what no order makes safe.
_KEEP_TABLE = 'Keep the name of the table: give the model "db_table" in its Meta.'
_KEEP_COLUMN = 'Keep the name of the column: give the field "db_column".'
_NEW_COLUMN = (
    "Add a new column, back-fill it, have the next release use it, and remove the old "
    "one in a later deployment."
)
_NEW_TABLE = (
    "Add a new table, copy what the old one has, have the next release use it, and "
    "remove the old one in a later deployment."
)


# Of no concern to either release

STATE_ONLY = _either("state-only", "it changes nothing in the database", None)
UNSEEN = _either(
    "unseen",
    "the running release knows nothing of what it touches, which is created with it",
    PRE,
)
UNSEEN_NEEDED = _pre(
    "unseen-needed",
    "the new release can't insert rows before it, and the running one knows nothing of "
    "what it removes",
)
UNKNOWN = _either("unknown", "it is of a kind that no rule covers", PRE)
DECLARED_PRE = _pre("declared-pre", 'the operation\'s own "stage" says so')
DECLARED_POST = _post("declared-post", 'the operation\'s own "stage" says so')

# Models

CREATE_MODEL = _pre("create-model", "the new release uses the table")
DELETE_MODEL = _post("delete-model", "the running release uses the table")
DELETE_MODEL_RELATIONS = _post(
    "delete-model-relations",
    "the running release uses the table",
    "until it is gone, its foreign keys keep the new release from deleting "
    "the rows that it refers to",
    remedy=(
        "Drop its foreign keys in the database before the rollout (AlterField to "
        "db_constraint=False), and delete the model after it."
    ),
)
RENAME_MODEL = _never(
    "rename-model",
    "each release uses a table that the other lacks",
    remedy=f"{_KEEP_TABLE} Or: {_NEW_TABLE}",
)
RENAME_MODEL_M2M = _never(
    "rename-model-m2m",
    "it renames a column of an automatic many-to-many table even where the name of "
    "the model's table is pinned",
    remedy=_NEW_TABLE,
)
ALTER_MODEL_TABLE = _never(
    "alter-model-table",
    "each release uses a table that the other lacks",
    remedy=_NEW_TABLE,
)
ALTER_COMMENT = _either("alter-comment", "comments are of no concern to queries", PRE)
ADD_ORDER = _pre(
    "add-order",
    'the new release uses the column "_order"',
    "it is NOT NULL without a DEFAULT, so the running release can't insert "
    "until it has one",
    remedy=(
        'Give the new column "_order" a DEFAULT in the database before the '
        "rollout (AlterOrder of syzygy.operations), and drop that after it "
        "(DropOrderDefault)."
    ),
)
REMOVE_ORDER = _post(
    "remove-order",
    'the running release uses the column "_order"',
    "it is NOT NULL, so the new release can't insert until that is relaxed",
    remedy=(
        'Give the column "_order" a DEFAULT in the database before the rollout '
        "(SetOrderDefault of syzygy.operations), and remove it after it (AlterOrder)."
    ),
)

# New fields

ADD_FIELD = _pre("add-field", "the new release uses the column")
ADD_FIELD_NULL_DEFAULT = _pre(
    "add-field-null-default",
    "the new release uses the column",
    "rows that the running release inserts get NULL instead of the default",
    remedy="Give the field the default as db_default, too.",
)
ADD_FIELD_DB_DEFAULT = _pre(
    "add-field-db-default",
    "the new release uses the column, and the running one leaves it to its DEFAULT",
)
ADD_FIELD_NOT_NULL = _pre(
    "add-field-not-null",
    "the new release uses the column",
    "Django drops its DEFAULT at once, so the running release can't insert",
    remedy=(
        "Give the field the default as db_default, too; drop that after the "
        "rollout, or keep it."
    ),
)
ADD_FIELD_IMPLICIT = _pre(
    "add-field-implicit-default",
    "the new release uses the column",
    "its implicit default isn't kept in the database, so the running release "
    "can't insert",
    remedy=(
        "Give the field a db_default (Now() for dates and times); drop that after "
        "the rollout, or keep it."
    ),
)
ADD_FIELD_CALLABLE = _pre(
    "add-field-callable-default",
    "the new release uses the column",
    "its default is computed in Python, so the running release can't insert",
    remedy=(
        "Give the field an expression as db_default (Now(), RandomUUID()); or add "
        "it with null=True before the rollout, and fill it and make it NOT NULL "
        "after it."
    ),
)
ADD_FIELD_UNIQUE = _pre("add-field-unique", "the new release uses the column")
ADD_FIELD_UNIQUE_NOT_NULL = _pre(
    "add-field-unique-not-null",
    "the new release uses the column",
    "no single DEFAULT is unique, so the running release can't insert",
    remedy=(
        "Add it with null=True before the rollout, and fill it row by row and "
        "make it NOT NULL after it."
    ),
)
ADD_FIELD_RELATION = _pre("add-field-relation", "the new release uses the column")
ADD_FIELD_GENERATED = _pre(
    "add-field-generated",
    "the new release reads the column, and the database fills it for both",
)
ADD_FIELD_M2M = _pre("add-field-m2m", "the new release uses the join table")

# Fields that go

REMOVE_FIELD = _post("remove-field", "the running release uses the column")
REMOVE_FIELD_NOT_NULL = _post(
    "remove-field-not-null",
    "the running release uses the column",
    "it is NOT NULL without a DEFAULT, so the new release can't insert until "
    "that is relaxed",
    remedy=(
        "Give the field a db_default before the rollout (AlterField), and remove "
        "it after it."
    ),
)
REMOVE_FIELD_UNIQUE = _post(
    "remove-field-unique",
    "the running release uses the column",
    "it is unique and NOT NULL, so the new release can't insert until it allows NULL",
    remedy=(
        "Let the field be NULL before the rollout (AlterField to null=True), and "
        "remove it after it."
    ),
)
REMOVE_FIELD_CONSTRAINED = _post(
    "remove-field-constrained",
    "the running release uses the column",
    "what the new one leaves in it may collide in a unique constraint",
    remedy="Drop the constraint before the rollout, and remove the field after it.",
)
REMOVE_FIELD_RELATION = _post(
    "remove-field-relation",
    "the running release uses the column",
    "until it is gone, its foreign key keeps the new release from deleting "
    "the rows that it refers to",
    remedy=(
        "Let the field be NULL and drop its foreign key in the database before "
        "the rollout (AlterField to null=True, db_constraint=False), and remove "
        "it after it."
    ),
)
REMOVE_FIELD_M2M = _post(
    "remove-field-m2m",
    "the running release uses the join table",
    "until it is gone, its foreign keys keep the new release from deleting "
    "rows at either end",
    remedy=(
        "Drop the foreign keys of the join table before the rollout (AlterField "
        "to db_constraint=False), and remove the field after it."
    ),
)
REMOVE_FIELD_GENERATED = _post(
    "remove-field-generated", "the running release reads the column"
)

# Fields that change

SET_NOT_NULL = _post("set-not-null", "the running release may write NULL")
DROP_NOT_NULL = _pre("drop-not-null", "the new release may write NULL")
WIDEN_TYPE = _pre("widen-type", "the new release may write values of the wider type")
NARROW_TYPE = _post(
    "narrow-type", "the running release may write values of the wider type"
)
CHANGE_TYPE = _never(
    "change-type",
    "no type of the column suits both releases; use a new column",
    remedy=_NEW_COLUMN,
)
CHANGE_TARGET = _never(
    "change-target",
    "the foreign key can't point at two tables; use a new column",
    remedy=_NEW_COLUMN,
)
WIDEN_PRIMARY_KEY = _either(
    "widen-primary-key",
    "the database gives out the keys, and those that there are fit the wider type",
    PRE,
)
NARROW_PRIMARY_KEY = _either(
    "narrow-primary-key",
    "the database gives out the keys, which have to fit the narrower type already",
    POST,
)
CHANGE_PRIMARY_KEY = _never(
    "change-primary-key",
    "every reference to the primary key changes with it, under both releases",
    remedy=_NEW_TABLE,
)
CHANGE_GENERATED = _never(
    "change-generated",
    "the column can't hold what both releases expect in it",
    remedy=_NEW_COLUMN,
)
CHANGE_M2M = _never(
    "change-m2m",
    "each release uses a join table that the other lacks",
    remedy=_NEW_TABLE,
)
RENAME_COLUMN = _never(
    "rename-column",
    "each release uses a column the other lacks",
    remedy=f"{_KEEP_COLUMN} Or: {_NEW_COLUMN}",
)
ADD_UNIQUE = _post("add-unique", "the running release may write duplicates")
DROP_UNIQUE = _pre("drop-unique", "the new release may write duplicates")
ADD_DB_DEFAULT = _pre("add-db-default", "the new release relies on the DEFAULT")
DROP_DB_DEFAULT = _post("drop-db-default", "the running release relies on the DEFAULT")
CHANGE_DB_DEFAULT = _either("change-db-default", "either DEFAULT suits both", PRE)
ADD_DB_INDEX = _either("add-db-index", "queries are slower without it", PRE)
DROP_DB_INDEX = _either("drop-db-index", "queries are slower without it", POST)
ADD_DB_CONSTRAINT = _post(
    "add-db-constraint", "the running release may write what the foreign key forbids"
)
DROP_DB_CONSTRAINT = _pre(
    "drop-db-constraint", "the new release may write what the foreign key forbids"
)
ADD_ON_DELETE = _pre(
    "add-on-delete", "the new release leaves it to the database what follows a delete"
)
DROP_ON_DELETE = _post(
    "drop-on-delete",
    "the running release leaves it to the database what follows a delete",
)
CHANGE_COLLATION = _either("change-collation", "either collation suits both", PRE)
ALTER_UNKNOWN = _either(
    "alter-unknown", "what the field was before isn't known to the history", PRE
)

# Indexes and constraints

ADD_INDEX = _pre("add-index", "the new release is slow without it")
REMOVE_INDEX = _either("remove-index", "the running release is slow without it", POST)
RENAME_INDEX = _either("rename-index", "no query names an index", PRE)
ADD_CONSTRAINT = _post(
    "add-constraint", "the running release may write what it forbids"
)
REMOVE_CONSTRAINT = _pre(
    "remove-constraint", "the new release may write what it forbids"
)
REPLACE_CONSTRAINT = _either(
    "replace-constraint", "it forbids nothing that another one hasn't until now", PRE
)
VALIDATE_CONSTRAINT = _either(
    "validate-constraint", "both releases respect the constraint already", POST
)
ADD_UNIQUE_TOGETHER = _post(
    "add-unique-together", "the running release may write duplicates"
)
REMOVE_UNIQUE_TOGETHER = _pre(
    "remove-unique-together", "the new release may write duplicates"
)

# Everything else

RUN_SQL = _pre("run-sql", "SQL runs before the rollout unless a stage is declared")
RUN_SQL_DROP = _post("run-sql-drop", "the running release uses what it drops")
RUN_SQL_RENAME = _never(
    "run-sql-rename",
    "each release uses a name that the other lacks",
    remedy=f"Keep the name. Or: {_NEW_COLUMN}",
)
RUN_PYTHON = _pre(
    "run-python", "Python code runs before the rollout unless a stage is declared"
)
BACKFILL = _post(
    "backfill", "the running release may write more rows that need the value"
)
CREATE_EXTENSION = _pre("create-extension", "the new release may rely on it")
CREATE_COLLATION = _pre("create-collation", "the new release may rely on it")
REMOVE_COLLATION = _post("remove-collation", "the running release may rely on it")
