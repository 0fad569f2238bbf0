"""How what is stored is shown: requests, documents and communities as views."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.registration import domain, store, usecases
from services.registration.api import views
from services.registration.domain import fields
from shared.contracts.community import Community, Kind, Stage
from shared.database import Transaction


async def _outlook(tx: Transaction, it: domain.Request) -> tuple[Community, Kind, set[str], domain.Outlook]:
    community, kind = await usecases.load_kind(tx, it)
    received = {document.code for document in await store.list_documents(tx, it.id)} if kind.documents else set()
    missing = [need.name for need in kind.documents if need.code not in received]
    outlook = domain.outlook(
        community, kind, it.progress, missing, application=it.application, resting_role=it.resting_role
    )
    return community, kind, received, outlook


async def filed_view(tx: Transaction, it: domain.Request, oddities: tuple[domain.Oddity, ...] = ()) -> views.FiledView:
    """Show a request as its filing or submission left it."""
    _, _, _, outlook = await _outlook(tx, it)
    return views.FiledView(
        request_id=it.id,
        tracking_number=it.tracking_number,
        state=domain.shown_state(it.progress.state),
        next_step=outlook.next_step,
        whose_turn=outlook.whose_turn,
        warnings=[views.OddityView(pointer=oddity.pointer, sentence=oddity.sentence) for oddity in oddities],
    )


async def status_view(tx: Transaction, it: domain.Request) -> views.StatusView:
    """Show where a request stands, to anybody."""
    return views.StatusView(**await _status(tx, it))


async def own_view(tx: Transaction, it: domain.Request, who: domain.Identity | None) -> views.RequestView:
    """Show a request to its own applicant."""
    community, kind = await usecases.load_kind(tx, it)
    applicant = who.applicant if who else None
    return views.RequestView(
        **await _status(tx, it),
        request_id=it.id,
        community_id=it.community_id,
        kind_code=it.kind,
        gives=community.gives(kind, it.application),
        scope_id=it.place.scope_id,
        place_kind=it.place.kind,
        place_id=it.place.id,
        application=it.application,
        role_assignment_id=it.rests_on.assignment_id if it.rests_on else None,
        revision=it.revision,
        applicant=(
            views.OwnApplicantView(
                given_name=applicant.given_name,
                family_name=applicant.family_name,
                email=applicant.email,
                phone=applicant.phone or None,
            )
            if applicant
            else None
        ),
        data={n: list(v) if isinstance(v, tuple) else v for n, v in who.data.items()} if who else {},
    )


async def line_view(tx: Transaction, it: domain.Request) -> views.RequestLineView:
    """Show a request as one line of its applicant's list."""
    community, kind, _, outlook = await _outlook(tx, it)
    return views.RequestLineView(
        request_id=it.id,
        tracking_number=it.tracking_number,
        community_id=it.community_id,
        kind=kind.name,
        kind_code=kind.code,
        gives=community.gives(kind, it.application),
        scope_id=it.place.scope_id,
        place_kind=it.place.kind,
        place_id=it.place.id,
        state=domain.shown_state(it.progress.state),
        since=it.progress.since_at,
        next_step=outlook.next_step,
        whose_turn=outlook.whose_turn,
    )


async def _status(tx: Transaction, it: domain.Request) -> dict[str, Any]:
    community, kind, received, outlook = await _outlook(tx, it)
    names = {role.code: role.name for role in community.roles}
    now = it.progress
    return {
        "tracking_number": it.tracking_number,
        "community": community.name,
        "kind": kind.name,
        "state": domain.shown_state(now.state),
        "since": now.since_at,
        "next_step": outlook.next_step,
        "whose_turn": outlook.whose_turn,
        "reason": now.reason if now.state in ("denied", "returned") else None,
        "correct": [
            views.CorrectView(code=code, name=domain.thing_name(kind, code))
            for code in (now.correct if now.may_be_corrected else ())
        ],
        "until": now.until_at,
        "wish": f"withdrawal_{now.withdrawal}"
        if now.withdrawal
        else "correction_sent"
        if now.correction_sent
        else None,
        "documents": [
            views.NeedView(document=need.code, name=need.name, received=need.code in received)
            for need in kind.documents
        ],
        "timeline": [
            views.MomentView(at=moment.at, what=moment.what, by=[names.get(role, role) for role in moment.roles])
            for moment in await store.list_moments(tx, it.id)
        ],
    }


def document_view(it: store.Document) -> views.DocumentView:
    """Show a document that was received."""
    return views.DocumentView(
        document_id=it.id,
        document=it.code,
        media_type=it.media_type,
        sha256=it.sha256,
        size_bytes=it.size_bytes,
        added_at=it.added_at,
    )


def community_view(it: Community) -> views.CommunityView:
    """Show all that can be asked for in a community."""
    return views.CommunityView(
        id=it.id,
        name=it.name,
        open=it.open,
        version=it.version,
        invitation_needed=it.invitation_needed,
        applications=[
            views.ApplicationView(
                application=each.code,
                name=each.name,
                open=each.open,
                roles=list(each.roles),
                criteria=each.criteria or None,
                not_for=each.not_for or None,
            )
            for each in it.applications
        ],
        help_desk=views.HelpDeskView(**it.help_desk.model_dump()),
        refused_provider_types=[
            views.ChoiceView(code=refused.code, name=refused.sentence) for refused in it.refused_provider_types
        ],
        kinds=[_kind_view(it, kind) for kind in it.kinds],
    )


def _kind_view(community: Community, kind: Kind) -> views.KindView:
    names = {role.code: role.name for role in community.roles}
    return views.KindView(
        kind=kind.code,
        name=kind.name,
        gives=community.gives(kind),
        needs=list(domain.needs(community, kind)),
        signed_in=not kind.applicant_fields,
        applicant_fields=[_field_view(community, name) for name in kind.applicant_fields],
        fields=[_field_view(community, name) for name in kind.fields],
        documents=[views.DocumentNeedView(document=need.code, name=need.name) for need in kind.documents],
        decided_by=_deciders(names, kind.stages),
        paths=[
            views.PathView(rests_on=path.rests_on, name=names[path.rests_on], decided_by=_deciders(names, path.stages))
            for path in kind.paths
        ],
    )


def _deciders(names: Mapping[str, str], stages: Sequence[Stage]) -> list[list[str]]:
    return [[names[decider.role] for decider in stage.deciders] for stage in stages]


def _field_view(community: Community, name: str) -> views.FieldView:
    rule = fields.rule_of(name.removesuffix("?"))
    choices = [views.ChoiceView(code=choice.code, name=choice.name) for choice in community.provider_types]
    return views.FieldView(
        name=rule.name,
        label=rule.label,
        hint=rule.hint,
        required=not name.endswith("?"),
        several=rule.is_list,
        format=rule.rule,
        accepting=list(rule.accepts),
        refusing=list(rule.refuses),
        choices=choices if rule.name == "provider_type" else [],
    )
