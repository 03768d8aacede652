"""What a start of a run may spend at an endpoint, and what it has."""

from __future__ import annotations

from ..errors import OptionError
from ..records import Json
from .api_replies import Answer


class Budget:
    """What this start may spend, and what it has.

    The cost of a request is known only once it is answered. So the first one goes alone, and each
    later one only where all in flight may cost as much as the dearest so far and still fit.
    """

    def __init__(
        self, limit_usd: float | None, price_in: float | None, price_out: float | None
    ) -> None:
        if limit_usd is not None and (price_in is None or price_out is None):
            raise OptionError(
                f"max_cost_usd={limit_usd:g} needs price_in= and price_out=, in US dollars per "
                "million tokens: no endpoint tells its prices"
            )
        self.limit_usd = limit_usd
        self.prices = None if price_in is None or price_out is None else (price_in, price_out)
        self.spent_usd = 0.0
        self.dearest_usd: float | None = None
        self.replies = 0
        self.blind = False

    def take(self, answer: Answer) -> None:
        """Count an answer."""
        if self.prices is None:
            return
        usage = answer.usage
        if usage is not None:
            tokens = (usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
            cost = sum(n * price for n, price in zip(tokens, self.prices, strict=True)) / 1e6
            self.spent_usd += cost
            self.dearest_usd = max(cost, self.dearest_usd or 0.0)
            self.replies += 1
        elif answer.error is None and self.limit_usd is not None:
            self.blind = True
        # A timed-out attempt may have been answered, and billed, all the same.
        self.spent_usd += answer.lost * (self.dearest_usd or 0.0)

    def allows(self, in_flight: int) -> bool:
        """Whether one more may be sent."""
        if self.limit_usd is None:
            return True
        if self.blind:
            return False
        if self.dearest_usd is None:
            return in_flight == 0
        return self.spent_usd + (in_flight + 1) * self.dearest_usd <= self.limit_usd

    def reached(self) -> str:
        """Why nothing more may be sent, as a letter to the user."""
        if self.blind:
            return (
                f"max_cost_usd={self.limit_usd:g} cannot be kept: the endpoint tells no usage with its "
                "replies. Leave it out, or set a limit at the provider. What was answered is stored"
            )
        return (
            f"max_cost_usd={self.limit_usd:g} is reached: {self.replies} replies cost "
            f"${self.spent_usd:.6f}, and one more may cost ${self.dearest_usd or 0.0:.6f}. What was "
            "answered is stored; the same command goes on from here, with the same limit anew"
        )

    def to_json(self) -> Json | None:
        if self.prices is None:
            return None
        return {
            "usd": round(self.spent_usd, 9),
            "limit_usd": self.limit_usd,
            "usd_per_million_tokens": {"in": self.prices[0], "out": self.prices[1]},
        }
