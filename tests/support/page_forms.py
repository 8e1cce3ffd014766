"""Presses the buttons of a page as a browser without JavaScript does."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx2


@dataclass
class Form:
    """A form with one button."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    """The hidden fields."""
    button: str = ""
    """The text on the button."""

    async def press(self, client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post(self.action, data=self.fields, headers={"Sec-Fetch-Site": "same-origin"})


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._is_in_button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                self.forms.append(Form(values["action"]))
            case "input":
                self.forms[-1].fields[values["name"]] = values["value"]
            case "button":
                self._is_in_button = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self._is_in_button = False

    def handle_data(self, data: str) -> None:
        if self._is_in_button:
            self.forms[-1].button += data


def find_forms(page: str) -> dict[str, Form]:
    """The forms of a page by the text on their button; of several with the same text, the first."""
    parser = _Parser()
    parser.feed(page)
    return {form.button.strip(): form for form in reversed(parser.forms)}
