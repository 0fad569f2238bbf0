"""How templates become text: one strict Jinja environment, one frozen dataclass for each page.

Strict means: a name that a template uses and nobody gave is an error, never an empty place.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass

from jinja2 import (
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    Template,
    select_autoescape,
)

from shared.ui.page import Shell


def environment(package: str) -> Environment:
    """Return the environment of `package`'s own templates and the shared macros (`ui/...`).

    Everything is escaped for HTML, except what a `.txt` template renders.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("shared.ui")]),
        autoescape=select_autoescape(disabled_extensions=("txt",), default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def page_renderer(package: str, shell: Shell) -> Callable[[str, object], str]:
    """Return `render(template, page)` for the pages of `package`; `page` is a frozen dataclass."""
    pages = environment(package)
    pages.globals |= {"shell": shell, "asset": shell.asset}

    def render(template: str, page: object) -> str:
        assert is_dataclass(page) and not isinstance(page, type), "a page is one dataclass"
        values = {field.name: getattr(page, field.name) for field in fields(page)}
        return pages.get_template(template).render(values)

    return render


def render_block(template: Template, block: str, values: Mapping[str, object]) -> str:
    """Render one block alone, as a mail's subject out of its text."""
    return "".join(template.blocks[block](template.new_context(dict(values))))
