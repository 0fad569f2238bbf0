"""The reference guides as plain text, which is Markdown as well."""

from collections.abc import Iterable, Iterator

from services.registration.domain.guides import ApproversGuide, Asked, Explained, Guide, Line, Reason, Way


def chart_text(community: str, lines: Iterable[Line]) -> str:
    """Return the role chart."""
    return _joined(_chart(community, lines))


def guide_text(guide: Guide) -> str:
    """Return the guide of one role."""
    return _joined(_guide(guide))


def approvers_text(guide: ApproversGuide) -> str:
    """Return the guide of approvers."""
    return _joined(_approvers(guide))


def _joined(paragraphs: Iterator[str]) -> str:
    return "\n\n".join(paragraphs) + "\n"


def _chart(community: str, lines: Iterable[Line]) -> Iterator[str]:
    yield f"# Roles of the {community}"
    for line in lines:
        yield f"## {line.name} (`{line.code}`)"
        facts = [f"Held in: {line.held_in}", f"Given by: {'; or '.join(line.given_by)}"]
        if line.seats is not None:
            facts.append(f"At most: {line.seats}")
        if line.not_together_with:
            facts.append(f"Not together with: {'; '.join(line.not_together_with)}")
        if line.may_ask_for:
            facts.append(f"May ask for: {', '.join(line.may_ask_for)}")
        yield _list(facts)


def _guide(guide: Guide) -> Iterator[str]:
    yield f"# {guide.name}: reference guide"
    yield f"{guide.community}. The role is held in {guide.held_in}."
    if guide.duties:
        yield f"## Responsibilities\n\n{guide.duties}"
    if guide.decides:
        yield f"## Decides\n\n{_list(guide.decides)}"
    for way in guide.ways:
        yield from _way(way)
    if guide.applications:
        yield f"## Applications that may rest on this role\n\n{_list(guide.applications)}"
    if guide.taken_by:
        yield (
            "## How the role ends\n\nIts holder may leave it. It may be taken away by: "
            f"{', '.join(guide.taken_by)}. The applications that rest on it end with it."
        )
    yield f"## Help\n\n{guide.contact}"


def _way(way: Way) -> Iterator[str]:
    yield f"## {way.name}"
    if way.conditions:
        yield f"Before you ask:\n\n{_list(way.conditions)}"
    if way.about_the_person:
        yield f"About yourself (not when you are signed in):\n\n{_fields(way.about_the_person)}"
    if way.about_the_request:
        yield f"About what you ask for:\n\n{_fields(way.about_the_request)}"
    if way.documents:
        yield f"Documents:\n\n{_list(way.documents)}"
    yield "Who approves:\n\n" + "\n".join(way.decided_by)
    yield f"What happens:\n\n{_list(way.what_happens)}"
    yield f"Errors explained:\n\n{_errors(way.errors)}"


def _approvers(guide: ApproversGuide) -> Iterator[str]:
    yield f"# Approvers: reference guide\n\n{guide.community}."
    yield f"## What you may say\n\n{_list(guide.decisions)}"
    yield f"## Reasons to deny\n\n{_reasons(guide.denials)}"
    yield f"## Reasons to return\n\n{_reasons(guide.returns)}"
    yield f"## By when\n\n{_list(guide.deadlines)}"
    yield f"## Errors explained\n\n{_errors(guide.errors)}"
    yield f"## Help\n\n{guide.contact}"


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _fields(asked: Iterable[Asked]) -> str:
    return _list(
        f"{each.label}{' (may be left out)' if each.is_optional else ''}: {each.rule}. Like `{each.example}`."
        for each in asked
    )


def _errors(errors: Iterable[Explained]) -> str:
    return _list(f"{each.title} (`{each.code}`). {each.remedy}" for each in errors)


def _reasons(given: Iterable[Reason]) -> str:
    return _list(f"`{each.code}`: {each.meaning}" for each in given)
