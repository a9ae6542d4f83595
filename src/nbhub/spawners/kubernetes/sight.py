"""What one look at a user's pod says: how far it is, in a sentence, and whether it is going to come up at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a pod is; in the order of a life that goes well."""

    ABSENT = "absent"
    SCHEDULING = "scheduling"  # no node yet
    VOLUMES = "volumes"  # being made, bound, attached or mounted
    PULLING = "pulling"
    PREPARING = "preparing"  # init containers
    CREATING = "creating"
    STARTING = "starting"  # runs and is not ready yet
    READY = "ready"
    TERMINATING = "terminating"
    ENDED = "ended"


PROGRESS = {
    Stage.SCHEDULING: 15,
    Stage.VOLUMES: 30,
    Stage.PULLING: 40,
    Stage.PREPARING: 55,
    Stage.CREATING: 65,
    Stage.STARTING: 75,
    Stage.READY: 85,
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds trouble may last before a start is given up; 0 gives up at once."""

    missing: float = 10.0  # a Secret, ConfigMap or claim that something else may be about to make
    trouble: float = 60.0  # what may pass by itself: a registry or a volume that does not answer
    pull: float = 900.0  # an image that is being pulled
    scale_up: float = 900.0  # a node that is being added
    crashes: int = 2  # ends of the server in a row while it starts


@dataclass(frozen=True, slots=True)
class Sight:
    """What a pod looks like at one moment.

    `message` is for the user: sentences, then perhaps an empty line and the cluster's own words. `fatal` says that a
    start cannot succeed any more; `ended` that a server which ran runs no longer, with its `exit_code` where one is
    known. `extends` is how many seconds from now this stage may take, whatever the start was given: a deadline that is
    later stays. `again` is after how many seconds to look again even when nothing has changed. `log_of` names the
    container whose log says more, `previous` that it is the log of its last run.
    """

    stage: Stage
    message: str
    reason: str = ""
    fatal: bool = False
    ended: bool = False
    exit_code: int | None = None
    extends: float | None = None
    again: float | None = None
    log_of: str = ""
    previous: bool = False

    @property
    def ready(self) -> bool:
        """Say whether every container is up."""
        return self.stage is Stage.READY

    @property
    def progress(self) -> int:
        """How far a start is, from 0 to 90."""
        return PROGRESS.get(self.stage, 0)


def with_details(sentence: str, details: str) -> str:
    """Join a sentence and the cluster's own words, as messages of failures have them."""
    details = details.strip()
    return f"{sentence}\n\n{details}" if details else sentence
