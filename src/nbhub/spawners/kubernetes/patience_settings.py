"""Settings that say how long trouble of a start may last before it is given up."""

from __future__ import annotations

from traitlets import Float, HasTraits, Int

from nbhub.spawners.kubernetes.sight import Patience


class PatienceSettings(HasTraits):
    """How long what a start waits for may take."""

    image_pull_timeout = Float(
        900,
        min=0,
        help="Seconds that an image may be pulled, whatever start_timeout says. Large images on new nodes need more.",
    ).tag(config=True)
    scale_up_timeout = Float(
        900,
        min=0,
        help="Seconds that a start waits for a node that the cluster is adding, whatever start_timeout says.",
    ).tag(config=True)
    missing_object_timeout = Float(
        10,
        min=0,
        help="Seconds that a Secret, ConfigMap or volume claim of a pod may be missing before its start fails.",
    ).tag(config=True)
    trouble_timeout = Float(
        60,
        min=0,
        help="Seconds that trouble which may pass by itself, such as a registry or volume that does not answer, may "
        "last before the start fails.",
    ).tag(config=True)
    crash_limit = Int(
        2, min=1, help="How many times in a row a server may end by itself in a start before the start fails."
    ).tag(config=True)

    @property
    def patience(self) -> Patience:
        """The same as one record."""
        return Patience(
            missing=self.missing_object_timeout,
            trouble=self.trouble_timeout,
            pull=self.image_pull_timeout,
            scale_up=self.scale_up_timeout,
            crashes=self.crash_limit,
        )
