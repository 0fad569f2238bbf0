"""What an applicant wishes of an open request. Approval alone answers. Source: R7."""

from services.approval import domain, store
from services.approval.domain import State
from services.approval.usecases import stages
from services.approval.usecases.opening import supplied
from services.approval.usecases.saying import about, say
from shared import audit
from shared.contracts import approval as said
from shared.contracts import registration
from shared.database import Transaction
from shared.ids import RequestId


async def take_correction(tx: Transaction, it: registration.RequestResubmitted) -> None:
    """The applicant has corrected what was returned: the same stage decides again, and its clock runs on.

    A correction of another round, or of what has ended meanwhile, changes nothing.
    """
    request = await store.lock_request(tx, it.request_id)
    if request is None or request.state is not State.RETURNED or request.round != it.round:
        return
    await store.stop_timer(tx, request.id, "give_up")
    await store.resume_timers(tx, request.id)
    expires_at = await store.timer_due_at(tx, request.id, "expire")
    assert expires_at is not None, "what was returned had a clock, which stood still"
    audit.record(
        tx, actor=request.applicant_id, act="correct", subject=request.id, scope=request.scope_id, revision=it.revision
    )
    assert request.decided is not None, "somebody has returned it"
    since_at = request.since_at + (tx.now - request.decided.at)
    await stages.decide_again(
        tx, request, why="resubmitted", expires_at=expires_at, since_at=since_at, revision=it.revision, **supplied(it)
    )


async def withdraw_request(tx: Transaction, request_id: RequestId) -> None:
    """The applicant wishes to withdraw: granted while nobody has decided, else refused and said so.

    What has ended otherwise stays as it is: that end was said. Source: R7, R12.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or (request.state.is_final and request.state is not State.GRANTED):
        return
    if not request.state.can_be_ended:
        await store.add_history(tx, request_id, "withdrawal_refused", reason="already_decided")
        say(tx, request, said.RequestWithdrawalRefused(**about(request), why="already_decided", refused_at=tx.now))
        return
    ended: domain.Request = await stages.end(tx, request, State.WITHDRAWN, act="withdraw", actor=request.applicant_id)
    say(tx, ended, said.RequestWithdrawn(**about(ended, previous_state=request.state.value), withdrawn_at=tx.now))
