"""What can't be decided. Their messages are written for whoever has to act on them."""

from syzygy.constants import Stage


class AmbiguousStage(ValueError):
    """A migration whose stage can be told neither from settings nor by the rules.

    ``summary`` is the first line of the message, ``remedy`` the rest: the ways out,
    ready to paste. ``stage`` is the one that they propose.
    """

    def __init__(
        self, summary: str, remedy: str = "", stage: Stage = Stage.PRE_DEPLOY
    ) -> None:
        super().__init__(f"{summary}\n{remedy}" if remedy else summary)
        self.summary = summary
        self.remedy = remedy
        self.stage = stage


class InvalidStage(AmbiguousStage):
    """A migration, or an operation in it, declares a stage that is none."""


class AmbiguousPlan(ValueError):
    """A plan in which a pre-deploy migration needs a post-deploy one.

    ``migrations`` are the first such pair, as app labels and names: the pre-deploy one
    and what it needs.
    """

    migrations: tuple[tuple[str, str], ...] = ()


class QuorumDissolved(RuntimeError):
    """Another party of the quorum failed, or the parties disagree."""


class BackfillError(RuntimeError):
    """A back-fill that can't be done as it is written. What it has filled stays so."""


class RuleError(ValueError):
    """A rule of the audit raised an error; the message is one line that names both."""
