"""The two stages of a rolling deployment."""

import enum


class Stage(enum.Enum):
    """When a migration runs: before the new release is rolled out, or after."""

    PRE_DEPLOY = "pre_deploy"
    POST_DEPLOY = "post_deploy"

    @property
    def inverted(self) -> "Stage":
        """The stage in which what this one applies has to be undone."""
        if self is Stage.PRE_DEPLOY:
            return Stage.POST_DEPLOY
        return Stage.PRE_DEPLOY

    @property
    def label(self) -> str:
        """The name that people read: ``pre-deploy`` or ``post-deploy``."""
        return self.value.replace("_", "-")
