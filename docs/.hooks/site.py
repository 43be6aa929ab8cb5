"""What MkDocs does not do by itself: generated reference pages, links into the repository and from
docstrings to pages, redirects from old pages, and llms.txt.

A page has generated text between two comments: after ``<!-- ::settings url api_key -->`` the named
settings, from ``Settings``; after ``<!-- ::command doctor -->`` what ``--help`` prints. It is
committed, so that the pages are complete on GitHub, too. To write it again, run
``python docs/.hooks/site.py``.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import posixpath
import re
import textwrap
from dataclasses import MISSING, fields
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.utils import get_relative_url

from ltiaas_middleware import Settings, settings
from ltiaas_middleware.commands.main import main

_LINK = re.compile(r"\]\((\.\./[^)\s]+)\)")
# A page, and perhaps a heading of it: ``wire.md``, "Errors".
_CITED = re.compile(
    r"(?:<code>)?(?:docs/(?P<page>[\w/-]+\.md)|wire\.md)(?:</code>)?"
    r'(?:,\s+(?:"|&quot;)(?P<heading>[^"&]+)(?:"|&quot;))?'
)
_GENERATED = re.compile(
    r"(^<!-- ::(settings|command) ?(.*?) ?-->\n).*?(?=^<!-- :: -->$)", re.MULTILINE | re.DOTALL
)
# With its indentation, which would become the next line's.
_COMMENT = re.compile(r"^ *<!--.*?-->\n*", re.DOTALL | re.MULTILINE)
# Settings that only code can give.
_CODE_ONLY = {"on_error"}
_OLD_PAGES = Path(__file__).with_name("old_pages.txt")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Remove comments, and lead links out of ``docs/`` to the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, found[1]))
        if path.startswith("docs/"):
            return found[0]
        return f"]({config.repo_url.rstrip('/')}/blob/main/{path})"

    page.llms = _LINK.sub(link, _COMMENT.sub("", markdown))
    return str(page.llms)


def on_page_context(context: Any, *, page: Any, nav: Any, **_: Any) -> Any:
    """Turn a file name of a page, which docstrings cite for readers of ``help()``, into a link."""
    pages = {one.file.src_uri: one for one in nav.pages}

    def link(found: re.Match[str]) -> str:
        target = pages[found["page"] or "wire.md"]
        text, anchor = escape(target.title), ""
        if heading := " ".join((found["heading"] or "").split()):
            headings = target.toc.items[0].children
            (place,) = [one for one in headings if one.title.startswith(heading)]
            text, anchor = f'{text}, "{heading}"', place.url
        return f'<a href="{get_relative_url(target.url, page.url)}{anchor}">{text}</a>'

    page.content = _CITED.sub(link, page.content)
    return context


def filled(markdown: str) -> str:
    """A page with its generated parts written again."""
    return _GENERATED.sub(_generated, markdown)


def _generated(found: re.Match[str]) -> str:
    names = found[3].split()
    if found[2] == "command":
        text = command(names)
    else:
        texts = setting_texts()
        text = "\n\n".join(one_setting(name, texts[name]) for name in names)
    return f"{found[1]}\n{text}\n\n"


def command(arguments: list[str]) -> str:
    """What a command prints for ``--help``."""
    os.environ["COLUMNS"] = "96"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*arguments, "--help"])
    line = " ".join(["python -m ltiaas_middleware", *arguments, "--help"])
    return f"```console\n$ {line}\n{printed.getvalue()}```"


def setting_texts() -> dict[str, str]:
    """What stands below each field of ``Settings``."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(settings.Settings))).body
    assert isinstance(made, ast.ClassDef)
    texts = {}
    for field, text in zip(made.body, made.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            said = text.value if isinstance(text, ast.Expr) else None
            words = said.value if isinstance(said, ast.Constant) else ""
            texts[field.target.id] = inspect.cleandoc(str(words))
    return texts


def one_setting(name: str, text: str) -> str:
    """A setting with an anchor, its variable, its type and its default."""
    (field,) = [field for field in fields(Settings) if field.name == name]
    default = "required" if field.default is MISSING else f"default `{field.default!r}`"
    variable = "only in code" if name in _CODE_ONLY else f"`LTIAAS_{name.upper()}`"
    kind = str(field.type).replace("|", "or")
    return f"### {name}\n\n{variable} · `{kind}` · {default}\n\n{text}"


def on_post_build(*, config: Any, **_: Any) -> None:
    """Write redirects for the pages that were split up."""
    site = Path(config.site_dir)
    moved: dict[str, dict[str, str]] = {}
    for line in _OLD_PAGES.read_text("utf-8").splitlines():
        page, new = line.split()
        page, _hash, anchor = page.partition("#")
        target, _hash, fragment = new.partition("#")
        if not (site / target / "index.html").exists():
            raise SystemExit(f"old_pages.txt: there is no page {target}")
        if fragment and f'id="{fragment}"' not in (site / target / "index.html").read_text("utf-8"):
            raise SystemExit(f"old_pages.txt: there is no anchor {new}")
        moved.setdefault(page, {})[anchor] = f"../{new}"
    for old, targets in moved.items():
        (site / old).mkdir(exist_ok=True)
        cases = ",".join(f'"#{anchor}":"{to}"' for anchor, to in targets.items())
        (site / old / "index.html").write_text(
            f'<!doctype html><title>Moved</title><a href="{escape(targets[""])}">Moved</a>'
            f"<script>const to={{{cases}}};location.replace(to[location.hash]||to['#'])</script>"
        )


def on_env(env: Any, *, config: Any, files: Any, **_: Any) -> Any:
    """Write llms.txt, the list of pages, and llms-full.txt, their text, for language models."""
    pages = [file.page for file in files.documentation_pages() if hasattr(file.page, "llms")]
    site = Path(config.site_dir)
    site.mkdir(parents=True, exist_ok=True)
    base = (config.site_url or "").rstrip("/")
    listed = "\n".join(f"- [{page.title}]({base}/{page.url})" for page in pages)
    about = f"# {config.site_name}\n\n> {config.site_description}\n\n"
    (site / "llms.txt").write_text(f"{about}{listed}\n", "utf-8")
    whole = "\n\n".join(page.llms for page in pages)
    (site / "llms-full.txt").write_text(f"{about}{whole}\n", "utf-8")
    return env


if __name__ == "__main__":
    for page in (Path(__file__).parents[1] / "reference").glob("*.md"):
        page.write_text(filled(page.read_text("utf-8")), "utf-8")
