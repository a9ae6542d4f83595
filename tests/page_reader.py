"""What tests read of a page: its words, and its forms as a browser would send them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

VOID = {"meta", "link", "img", "input", "br", "hr"}


@dataclass
class Form:
    """One form: where it goes, and its fields with the values that the page gave them."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A page that was parsed; complains of tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.forms: list[Form] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        elif tag in ("input", "select", "textarea", "button") and "form" in self._open:
            name = given.get("name")
            if name and tag != "button" and given.get("type") not in ("checkbox", "radio"):
                self.forms[-1].fields[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "button":
            self.forms and self.forms[-1].buttons.append(data.strip())
        self.words += " " + " ".join(data.split())

    def form(self, action: str, **fields: str) -> Form:
        """Return the form that goes to an address ending so, with these values among its fields."""
        for form in self.forms:
            if form.action.partition("?")[0].endswith(action) and fields.items() <= form.fields.items():
                return form
        raise AssertionError(f"no form to {action} with {fields}: {[(f.action, f.fields) for f in self.forms]}")

    def has(self, tag: str, **attributes: str) -> bool:
        """Say whether there is such a tag."""
        return any(found == tag and attributes.items() <= given.items() for found, given in self.tags)


def read(answer: httpx.Response) -> Page:
    """Return the page that was answered, after checking what holds for every page."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.has("html", lang="en")
    assert page.has("main")
    for tag, given in page.tags:
        assert tag != "style" and "style" not in given, "no inline style"
        assert tag != "script" or given.get("src"), "no inline script"
        assert not any(name.startswith("on") for name in given), "no inline handler"
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            labelled = "aria-label" in given or page.has("label", **{"for": given.get("id", "?")})
            assert labelled or given.get("type") in ("checkbox", "radio"), f"without a label: {given}"
    for form in page.forms:
        assert form.method == "get" or form.fields.get("_xsrf"), f"the form to {form.action} has no _xsrf"
    return page


async def submit(client: httpx.AsyncClient, form: Form, **fields: Any) -> httpx.Response:
    """Send a form as a browser does."""
    return await client.post(form.action, data={**form.fields, **fields})
