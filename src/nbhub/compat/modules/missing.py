"""What stands for classes that nbhub does not have."""

from __future__ import annotations

from typing import ClassVar

from nbhub.compat import verdicts


class Missing:
    """A class that is known by its name only; `advice` is said where the name has no verdict of its own."""

    advice: ClassVar[str] = "See docs/migrate.md."

    @classmethod
    def words(cls) -> str:
        """Say why there is no such class, and what to do."""
        for base in cls.__mro__:
            verdict = verdicts.of_section(base.__name__)
            if verdict is not None:
                return f"{base.__name__} is {verdict}"
        return f"nbhub has no {cls.__name__}. {cls.advice}"
