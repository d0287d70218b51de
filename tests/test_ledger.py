"""The tree of scopes: what a call is granted, what it is charged, and when it is refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from threading import Thread

import pytest

from forethought.budget import Budget, current_scope
from forethought.context import FREE, Price, Usage
from forethought.errors import BudgetExceeded
from forethought.ledger import BudgetScope, Hold
from forethought.testing import FakeClock

CENT = Price(prompt=Decimal("0.001"), completion=Decimal("0.01"))


def scope(budget: Budget, name: str = "run") -> BudgetScope:
    return BudgetScope(budget, name)


def granted(
    scope: BudgetScope,
    max_tokens: int | None = None,
    *,
    prompt: int = 0,
    price: Price | None = FREE,
    answering: bool = False,
    share: int = 1,
) -> int | None:
    with scope.reserve(
        prompt_tokens=prompt, max_tokens=max_tokens, price=price, answering=answering, share=share
    ) as hold:
        return hold.max_tokens


def spend(scope: BudgetScope, usage: Usage, cost: Decimal | None = Decimal(0)) -> None:
    with scope.reserve(prompt_tokens=0, max_tokens=1, price=FREE, answering=True) as hold:
        hold.settle(usage, cost)


class TestGrant:
    def test_an_unlimited_scope_grants_what_is_asked(self) -> None:
        """Without limits the caller's ceiling stands, and none stays none."""
        assert granted(scope(Budget()), 77) == 77
        assert granted(scope(Budget())) is None

    def test_an_unlimited_call_holds_no_completion_tokens(self) -> None:
        """What nobody limits is not reserved."""
        run = scope(Budget(request_limit=5))
        with run.reserve(prompt_tokens=10, max_tokens=None, price=None):
            assert run.reserved == Usage(10, 0, requests=1)

    def test_output_is_clamped_to_what_is_left(self) -> None:
        """A call that only answers may have all that is left."""
        run = scope(Budget(output_tokens_limit=100))
        spend(run, Usage(0, 30))
        assert granted(run, 500, answering=True) == 70

    def test_thinking_leaves_the_answer_its_tokens(self) -> None:
        """A call that may think is not granted what is kept for the answer."""
        assert granted(scope(Budget(output_tokens_limit=100, answer_tokens=20)), 500) == 80

    def test_a_quarter_is_kept_for_an_answer_of_unknown_length(self) -> None:
        """Without answer_tokens a quarter of the limit is kept, and 256 tokens at most."""
        assert scope(Budget(output_tokens_limit=100)).answer_tokens == 25
        assert scope(Budget(output_tokens_limit=100_000)).answer_tokens == 256
        assert scope(Budget()).answer_tokens == 0

    def test_a_total_pays_the_prompt_first(self) -> None:
        """The total leaves for completion what the prompt does not take."""
        assert granted(scope(Budget(total_tokens_limit=100)), prompt=60, answering=True) == 40

    def test_money_is_turned_into_tokens(self) -> None:
        """A cost limit grants as many tokens as it can pay once the prompt is paid."""
        assert granted(scope(Budget(cost_limit=1)), prompt=100, price=CENT, answering=True) == 90

    def test_money_for_reading_a_thought_again_is_kept(self) -> None:
        """After a thought that took all it was granted, the answer can be paid, prompt and thought included."""
        run = scope(Budget(cost_limit=1, answer_tokens=10))
        with run.reserve(prompt_tokens=50, max_tokens=None, price=CENT) as hold:
            thought = hold.max_tokens or 0
            hold.settle(Usage(50, thought, thought), None)
        assert thought > 60
        assert (granted(run, prompt=50 + thought, price=CENT, answering=True) or 0) >= 10

    def test_a_free_model_is_not_limited_by_money(self) -> None:
        """A price of 0 leaves the ceiling as it was asked."""
        assert granted(scope(Budget(cost_limit="0.01")), 10**6, prompt=10**6, price=FREE) == 10**6

    def test_money_far_beyond_need_is_no_trouble(self) -> None:
        """A limit that pays for more tokens than can be counted grants what is asked."""
        assert granted(scope(Budget(cost_limit="1e40")), 5, price=CENT) == 5

    def test_siblings_are_granted_the_same(self) -> None:
        """Each of n siblings gets one n-th of what is not spent, whoever comes first."""
        run = scope(Budget(output_tokens_limit=1000, answer_tokens=1))
        with (
            run.reserve(prompt_tokens=0, max_tokens=None, price=None, share=4, answering=True) as first,
            run.reserve(prompt_tokens=0, max_tokens=None, price=None, share=4, answering=True) as second,
        ):
            assert (first.max_tokens, second.max_tokens) == (250, 250)

    def test_a_share_never_falls_below_one_token(self) -> None:
        """More siblings than tokens still get one each while there are any."""
        assert granted(scope(Budget(output_tokens_limit=4)), share=100, answering=True) == 1

    def test_siblings_keep_an_answer_each(self) -> None:
        """Thinking in four branches leaves four answers' tokens, as far as a quarter of the limit goes."""
        run = scope(Budget(output_tokens_limit=1000, answer_tokens=50))
        assert granted(run, share=4) == (1000 - 4 * 50) // 4

    def test_the_tightest_scope_decides(self) -> None:
        """An inner scope cannot give what the outer does not have."""
        outer = scope(Budget(output_tokens_limit=40), "key")
        inner = outer.child(Budget(output_tokens_limit=1000), "request")
        assert granted(inner, answering=True) == 40


class TestRefusal:
    def test_the_outermost_exhausted_scope_is_named(self) -> None:
        """The error carries scope, limit, what was allowed and what is spent."""
        outer = scope(Budget(output_tokens_limit=10), "key")
        inner = outer.child(Budget(output_tokens_limit=10), "request")
        spend(inner, Usage(0, 10))
        with pytest.raises(BudgetExceeded) as caught:
            granted(inner, 5, answering=True)
        error = caught.value
        assert (error.scope, error.limit, error.allowed, error.spent) == ("key", "output_tokens_limit", 10, 10)

    def test_nothing_is_held_by_a_refused_call(self) -> None:
        """A scope that would have granted holds nothing when another refuses."""
        outer = scope(Budget(request_limit=100), "key")
        inner = outer.child(Budget(output_tokens_limit=10), "request")
        spend(inner, Usage(0, 10))
        with pytest.raises(BudgetExceeded):
            granted(inner, 5, answering=True)
        assert outer.reserved == inner.reserved == Usage()

    def test_calls_in_flight_count_as_requests(self) -> None:
        """A request limit holds while calls run, not only when they have ended."""
        run = scope(Budget(request_limit=1))
        with (
            run.reserve(prompt_tokens=0, max_tokens=1, price=None),
            pytest.raises(BudgetExceeded, match=r"request_limit is 1.*calls in flight: 1"),
        ):
            granted(run, 1)

    def test_money_fails_closed_without_a_price(self) -> None:
        """Under a cost limit anywhere above, a model without a known price is not asked."""
        run = scope(Budget(cost_limit=1)).child(Budget(), "layer")
        with pytest.raises(BudgetExceeded, match="no known price"):
            granted(run, 10, price=None)

    def test_a_prompt_that_cannot_be_paid_is_refused(self) -> None:
        """A call whose prompt alone costs more than is left is not made."""
        with pytest.raises(BudgetExceeded, match="cost_limit"):
            granted(scope(Budget(cost_limit="0.1")), 1, prompt=200, price=CENT, answering=True)

    def test_a_prompt_larger_than_the_total_is_refused(self) -> None:
        """A prompt that fills the total leaves not one token to answer with."""
        with pytest.raises(BudgetExceeded, match="total_tokens_limit"):
            granted(scope(Budget(total_tokens_limit=100)), 1, prompt=100, answering=True)

    def test_time_refuses_calls(self) -> None:
        """After the deadline no call is begun, and thinking ends before answering."""
        clock = FakeClock()
        run = BudgetScope(Budget(time_limit_s=10), "run", clock=clock)
        clock.advance(9.5)
        assert granted(run, 5, answering=True) == 5
        with pytest.raises(BudgetExceeded, match="time_limit_s is 10"):
            granted(run, 5)
        clock.advance(0.5)
        with pytest.raises(BudgetExceeded, match="time_limit_s"):
            granted(run, 5, answering=True)


class TestSettling:
    def test_the_true_cost_replaces_what_was_held(self) -> None:
        """Every enclosing scope is charged what the call took and holds nothing of it."""
        outer = scope(Budget(output_tokens_limit=100), "key")
        inner = outer.child(Budget(), "request")
        with inner.reserve(prompt_tokens=10, max_tokens=50, price=CENT) as hold:
            assert outer.reserved == inner.reserved == Usage(10, 50, requests=1)
            hold.settle(Usage(12, 20, requests=1), Decimal("0.3"))
        for each in (outer, inner):
            assert (each.spent, each.cost) == (Usage(12, 20, requests=1), Decimal("0.3"))
            assert (each.reserved, each.reserved_cost) == (Usage(), Decimal(0))

    def test_a_call_that_is_not_settled_costs_nothing(self) -> None:
        """Leaving the block without settling gives everything back."""
        run = scope(Budget(output_tokens_limit=100, cost_limit=5))
        granted(run, 50, price=CENT)
        assert (run.spent, run.cost, run.reserved, run.reserved_cost) == (Usage(), 0, Usage(), 0)

    def test_settling_twice_charges_once(self) -> None:
        """The first settlement counts."""
        run = scope(Budget())
        with run.reserve(prompt_tokens=0, max_tokens=5, price=None) as hold:
            hold.settle(Usage(0, 5, requests=1), Decimal(1))
            hold.settle(Usage(0, 5, requests=1), Decimal(1))
        assert (run.spent, run.cost) == (Usage(0, 5, requests=1), 1)

    def test_a_late_settlement_is_charged_in_full(self) -> None:
        """What a cancelled call turns out to have cost is not lost when its block was left before."""
        run = scope(Budget(output_tokens_limit=100))
        with run.reserve(prompt_tokens=0, max_tokens=5, price=None) as hold:
            pass
        hold.settle(Usage(0, 5, requests=1), None)
        assert (run.spent.completion_tokens, run.reserved) == (5, Usage())

    def test_a_settled_call_is_at_least_one_request(self) -> None:
        """A usage that forgot to count its call cannot slip past the request limit."""
        run = scope(Budget(request_limit=1))
        spend(run, Usage(0, 5))
        assert run.spent.requests == 1

    def test_an_unreported_cost_follows_from_the_price(self) -> None:
        """Where a price is known, a settlement without a cost is charged at that price."""
        run = scope(Budget(cost_limit=10))
        with run.reserve(prompt_tokens=10, max_tokens=10, price=CENT) as hold:
            hold.settle(Usage(10, 5), None)
        assert run.cost == Decimal("0.06")

    def test_an_unknown_cost_stays_unknown(self) -> None:
        """Without a price the cost of the scope is None, never 0."""
        run = scope(Budget())
        with run.reserve(prompt_tokens=10, max_tokens=10, price=None) as hold:
            hold.settle(Usage(10, 5), None)
        assert run.cost is None

    def test_what_remains_is_the_tightest_of_all_scopes(self) -> None:
        """`remaining` looks through every enclosing scope, and says None where nothing limits."""
        outer = scope(Budget(output_tokens_limit=100, cost_limit=2), "key")
        inner = outer.child(Budget(output_tokens_limit=1000, request_limit=3), "request")
        spend(inner, Usage(5, 40, requests=1), Decimal("0.5"))
        left = inner.remaining
        assert (left.output_tokens, left.requests, left.cost) == (60, 2, Decimal("1.5"))
        assert (left.total_tokens, left.reasoning_tokens, left.time_s) == (None, None, None)


class TestReasoning:
    def test_a_reasoning_limit_is_shared_and_held(self) -> None:
        """Siblings are told their share of the thinking, and what is told to one is not told to another."""
        run = scope(Budget(reasoning_tokens_limit=100))
        with run.reserve(prompt_tokens=0, max_tokens=None, price=None, share=2) as hold:
            assert hold.reasoning_tokens == 50
            assert run.reasoning_headroom(share=2) == 50
            assert run.reasoning_headroom() == 50

    def test_reasoning_that_was_written_is_charged(self) -> None:
        """The headroom shrinks by the reasoning tokens of settled calls, and never below 0."""
        run = scope(Budget(reasoning_tokens_limit=100))
        spend(run, Usage(0, 90, 70))
        assert run.reasoning_headroom() == 30
        spend(run, Usage(0, 90, 70))
        assert run.reasoning_headroom() == 0

    def test_a_spent_reasoning_limit_does_not_refuse_a_call(self) -> None:
        """When the thinking is used up an answer can still be asked for."""
        run = scope(Budget(reasoning_tokens_limit=10))
        spend(run, Usage(0, 10, 10))
        assert granted(run, 50) == 50


class TestHeadroom:
    def test_nothing_limits_an_unlimited_scope(self) -> None:
        """None says that no limit applies."""
        assert scope(Budget()).headroom() is None
        assert scope(Budget()).reasoning_headroom() is None

    def test_headroom_leaves_the_answer_out(self) -> None:
        """Thinking sees less than answering, by the tokens kept for the answer."""
        run = scope(Budget(output_tokens_limit=100, answer_tokens=20))
        assert (run.headroom(), run.headroom(answering=True)) == (80, 100)

    def test_a_thought_under_a_total_can_be_read_again(self) -> None:
        """A thought as long as the headroom leaves a total that pays for prompt, thought and answer once more."""
        run = scope(Budget(total_tokens_limit=1000, answer_tokens=20))
        thought = run.headroom(prompt_tokens=100) or 0
        spend(run, Usage(100, thought, thought))
        assert granted(run, prompt=100 + thought, answering=True) == 20

    def test_thinking_ends_before_answering(self) -> None:
        """A tenth of the time, and at most five seconds, is left for the answer; the tightest scope decides."""
        clock = FakeClock(100)
        outer = BudgetScope(Budget(time_limit_s=20), "key", clock=clock)
        inner = outer.child(Budget(time_limit_s=600), "request")
        assert (inner.deadline(answering=False), inner.deadline(answering=True)) == (118, 120)
        assert BudgetScope(Budget(time_limit_s=600), "long", clock=clock).deadline(answering=False) == 695
        assert scope(Budget()).deadline(answering=True) is None

    def test_a_scope_is_limited_by_what_is_around_it(self) -> None:
        """A scope without limits inside a limited one is limited."""
        assert scope(Budget(request_limit=1)).child(Budget(), "layer").limited
        assert not scope(Budget(time_limit_s=1)).limited


class TestAmbient:
    def test_blocks_nest_scopes(self) -> None:
        """`with` opens a scope inside the one around it, and puts that one back."""
        budget = Budget(output_tokens_limit=100)
        assert current_scope() is None
        with budget as outer, budget as inner:
            assert current_scope() is inner
            assert inner.parent is outer
        assert current_scope() is None

    def test_a_block_that_raises_closes_its_scope(self) -> None:
        """An error does not leave the scope behind."""
        with pytest.raises(LookupError), Budget():
            raise LookupError
        assert current_scope() is None

    def test_a_scope_can_be_read_after_its_block(self) -> None:
        """What was spent is known when the block has ended."""
        with Budget(output_tokens_limit=100) as block:
            spend(block, Usage(3, 40, requests=1), Decimal("0.25"))
        assert (block.spent, block.cost) == (Usage(3, 40, requests=1), Decimal("0.25"))
        assert block.remaining.output_tokens == 60

    async def test_tasks_share_the_scope_around_them(self) -> None:
        """A task begun inside a block sees its scope; one block's scope is not seen by its neighbour."""

        async def seen() -> BudgetScope | None:
            await asyncio.sleep(0)
            return current_scope()

        async def own() -> tuple[BudgetScope, BudgetScope | None]:
            with Budget() as scope:
                return scope, await seen()

        with Budget() as block:
            assert await asyncio.gather(seen(), seen()) == [block, block]
        pairs = await asyncio.gather(own(), own())
        assert all(scope is observed for scope, observed in pairs)


def test_threads_share_a_budget_without_overspending() -> None:
    """Calls reserved from several threads are counted one by one."""
    run = scope(Budget(request_limit=400, output_tokens_limit=10**6))

    def work() -> None:
        for _ in range(200):
            try:
                with run.reserve(prompt_tokens=0, max_tokens=1, price=None) as hold:
                    hold.settle(Usage(0, 1, requests=1), None)
            except BudgetExceeded:
                return

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert run.spent == Usage(0, 400, requests=400)
    assert run.reserved == Usage()


def test_a_hold_is_a_reservation() -> None:
    """What `reserve` yields carries the grant that the protocol promises."""
    with scope(Budget()).reserve(prompt_tokens=0, max_tokens=3, price=None) as hold:
        assert isinstance(hold, Hold)
        assert hold.max_tokens == 3
