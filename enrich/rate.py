"""The rate at which one provider accepts calls, felt for from what it refuses. Pure: time is told.

Between two refusals a provider lets through as much as its limit is, whether it fills a bucket
steadily or opens a window every minute: so that is what is counted. Calls then start at a little
less. While the limit is not known well the rate climbs by up to a fifth a second until it is
refused again. Once two refusals agree it holds just below, tries a little more after a while, and
holds twice as long each time the same limit answers.

Where everything is refused (a window is used up, and no `Retry-After` says for how long), single
calls ask at twice the distance each time, until one is accepted.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

BACK_OFF = 0.9  # of the accepted rate, after a refusal
CEILING = 0.98  # of the accepted rate, where the climb holds
CLIMB_PER_STEP = 0.1  # of the rate, back to the ceiling
PROBE_PER_STEP = 0.02  # of the rate, above it; doubles while nothing is refused
PROBE_DOUBLES_STEPS = 2.0
FASTEST_PROBE_PER_STEP = 0.2
USED = 0.7  # of the rate must be used for it to climb
CALLS_IN_A_STEP = 8  # a step is a second or, where calls are rarer, so many of them
MAX_HOLD_SECONDS = 120.0
LONGEST_HOLD_SECONDS = 600.0
SAME_RATE = 0.15  # limits that differ by less confirm each other
CALLS_BETWEEN_PROBES = 60  # keeps refusals under 2 %
PAUSES_BETWEEN_PROBES = 20  # a Retry-After costs at most a twentieth of the time
MEASURED_SECONDS = 60.0  # a limit is measured over no longer, as most are made of minutes,
MEASURED_COUNT = 12  # and over no fewer calls
UNDERRATED = 0.3  # of the way to the refused rate: for a time less was asked for than allowed
ROUNDED_SECONDS = 1.0  # a Retry-After of whole seconds may ask for so much too much,
UNNEEDED = 0.67  # and mostly does by so much of it: time that measures nothing
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 3.0  # between calls while all are refused
LEAST_PER_SECOND = 0.05
LEAST_SECONDS = 0.05  # measured over less, a rate means nothing


@dataclass(slots=True)
class Rate:
    """Calls a second: what is used now, and what was last found to be accepted."""

    per_second: float
    accepted: float
    is_confirmed: bool
    hold_seconds: float
    changed_at: float
    held_since: float | None = None


class Mark(NamedTuple):
    """When the limit was last used up, and how much needless waiting was asked for until then."""

    at: float
    unneeded_seconds: float


class RateFinder:
    """Finds how many calls a second are accepted. Knows nothing before the first refusal."""

    def __init__(self) -> None:
        self._rate: Rate | None = None
        self._busy_since = 0.0
        self._starts: deque[float] = deque()  # of calls that were not refused, as far as known
        self._marks: deque[Mark] = deque(maxlen=2 * MEASURED_COUNT)
        self._unneeded_seconds = 0.0
        self._met_at = float("-inf")
        self._pause: float | None = None  # while all is refused

    @property
    def per_second(self) -> float | None:
        """The rate to keep; None while no limit was met."""
        return None if self._rate is None else self._rate.per_second

    def busy(self, now: float) -> None:
        """Calls are wanted again: what was accepted before measures demand, not the limit."""
        self._busy_since = now

    def started(self, now: float) -> None:
        """A call starts."""
        self._starts.append(now)
        while self._starts[0] < now - MEASURED_SECONDS:
            self._starts.popleft()

    def refused(self, started: float) -> None:
        """A call that started then measures nothing."""
        if started in self._starts:
            self._starts.remove(started)

    def accepted(self, now: float) -> None:
        """A call that started after the last refusal was answered."""
        if self._pause is None:
            return
        opened = now - self._pause / 2  # at some time in the last pause
        self._pause = None
        since = max(self._marks[-1].at if self._marks else 0.0, self._oldest(now))
        hold = min(max(opened - since, 0.0), MAX_HOLD_SECONDS)
        self._change(max(self._measured(opened), LEAST_PER_SECOND), opened, hold, confirmed=True)

    def met_limit(self, now: float, retry_after_seconds: float) -> float:
        """A refusal that is news. The seconds until the next call may start, at least."""
        some_are_accepted = bool(self._starts) and self._starts[-1] > self._met_at
        self._met_at = now
        if self._rate is not None and not some_are_accepted:
            return self._stall(1.0 / self._rate.per_second)
        if retry_after_seconds <= ROUNDED_SECONDS:
            self._unneeded_seconds += UNNEEDED * retry_after_seconds
        return 1.0 / self._learn(now, retry_after_seconds)

    def interval(self, now: float) -> float:
        """Seconds from a start now until the next one."""
        if self._rate is None:
            return 0.0
        if self._pause is not None:
            return self._pause
        self._climb(self._rate, now)
        return 1.0 / self._rate.per_second

    def _stall(self, interval: float) -> float:
        """Everything is refused: ask ever more rarely; what is measured goes on until it ends."""
        while self._marks and self._starts and self._marks[-1].at > self._starts[-1]:
            self._marks.pop()
        before = interval if self._pause is None else self._pause
        longest = max(MAX_PAUSE_SECONDS, interval)
        self._pause = min(max(2 * before, FIRST_PAUSE_SECONDS), longest)
        return self._pause

    def _climb(self, rate: Rate, now: float) -> None:
        """Towards the accepted rate, then held, then above it."""
        step = max(1.0, CALLS_IN_A_STEP / rate.per_second)  # seconds
        passed = min(1.0, (now - rate.changed_at) / step)
        rate.changed_at = now
        if self._used(now) < USED * rate.per_second:
            return  # a rate that nobody uses would climb for ever
        ceiling = rate.accepted * CEILING
        if not rate.is_confirmed:
            rate.per_second *= 1 + FASTEST_PROBE_PER_STEP * passed
        elif rate.per_second < ceiling:
            rate.per_second = min(ceiling, rate.per_second * (1 + CLIMB_PER_STEP * passed))
            rate.held_since = now if rate.per_second >= ceiling else None
        elif rate.held_since is None:
            rate.held_since = now
        elif now - rate.held_since > rate.hold_seconds:
            probing = (now - rate.held_since - rate.hold_seconds) / step
            doubled = PROBE_PER_STEP * 2.0 ** min(probing / PROBE_DOUBLES_STEPS, 10.0)
            rate.per_second *= 1 + min(doubled, FASTEST_PROBE_PER_STEP) * passed

    def _learn(self, now: float, retry_after_seconds: float) -> float:
        """Take a refusal for what it says of the limit. The rate from now on."""
        old = self._rate
        measured = self._measured(now)
        if old is None:
            return self._change(max(measured, LEAST_PER_SECOND), now, 0.0, confirmed=False)
        refused_at = min(old.per_second, max(self._used(now), measured))
        accepted = measured + UNDERRATED * (refused_at - measured)
        accepted = max(min(accepted, refused_at), LEAST_PER_SECOND)
        confirmed = abs(accepted / old.accepted - 1) < SAME_RATE
        hold = 0.0
        if confirmed:
            asked = PAUSES_BETWEEN_PROBES * retry_after_seconds
            doubled = min(old.hold_seconds * 2, MAX_HOLD_SECONDS)
            hold = min(max(doubled, CALLS_BETWEEN_PROBES / accepted, asked), LONGEST_HOLD_SECONDS)
        return self._change(accepted, now, hold, confirmed=confirmed)

    def _change(self, accepted: float, now: float, hold: float, *, confirmed: bool) -> float:
        slower = max(accepted * BACK_OFF, LEAST_PER_SECOND)
        self._rate = Rate(slower, accepted, confirmed, hold, now)
        self._marks.append(Mark(now, self._unneeded_seconds))
        return slower

    def _used(self, now: float) -> float:
        """Calls started a second, over the last few."""
        few = min(len(self._starts), MEASURED_COUNT)
        if not few:
            return 0.0
        return few / max(now - self._starts[-few], LEAST_SECONDS)

    def _oldest(self, now: float) -> float:
        return max(self._busy_since, now - MEASURED_SECONDS)

    def _measured(self, now: float) -> float:
        """Calls accepted a second since the limit was used up before, or since calls were wanted.

        Since the latest time with calls enough to tell; where they are rare, the most any says.
        """
        most = 0.0
        for mark in self._marks_backwards(now):
            count = sum(at >= mark.at for at in self._starts)
            unneeded = self._unneeded_seconds - mark.unneeded_seconds
            rate = count / max(now - mark.at - unneeded, LEAST_SECONDS)
            if count >= MEASURED_COUNT:
                return rate
            most = max(most, rate)
        return most

    def _marks_backwards(self, now: float) -> Iterator[Mark]:
        """What may be measured from, the latest first; the first call where nothing else is."""
        oldest = self._oldest(now)
        marks = [mark for mark in reversed(self._marks) if mark.at >= oldest]
        yield from marks or [Mark(oldest, self._unneeded_seconds)]
