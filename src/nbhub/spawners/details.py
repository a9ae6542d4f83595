"""What an operator wants to know of a server's object at its backend: where it is, of what, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass, field

_UNITS = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "KB"))


@dataclass(frozen=True, slots=True)
class Amount:
    """Cores and bytes; None where nothing is said."""

    cores: float | None = None
    memory: int | None = None

    def __str__(self) -> str:
        said = []
        if self.cores is not None:
            said.append(f"{self.cores:.2g} CPU" if self.cores < 10 else f"{self.cores:.0f} CPU")
        if self.memory is not None:
            said.append(size(self.memory))
        return ", ".join(said)

    @property
    def known(self) -> bool:
        """Say whether there is anything to say."""
        return self.cores is not None or self.memory is not None


@dataclass(frozen=True, slots=True)
class Details:
    """One server's object. `extra` are further resources, such as {"nvidia.com/gpu": "1"}."""

    object: str = ""  # what the backend calls it, such as a pod's name or a process id
    node: str = ""
    image: str = ""
    requests: Amount = field(default_factory=Amount)
    limits: Amount = field(default_factory=Amount)
    use: Amount = field(default_factory=Amount)
    extra: dict[str, str] = field(default_factory=dict)


def size(number: int) -> str:
    """Return bytes for people: "1.5 GB" are 1.5 times 2**30, as in the settings."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g} {name}" if number < 1000 * unit else f"{number / unit:.0f} {name}"
    return f"{number} B"
