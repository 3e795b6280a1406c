"""Explanations and judgements asked for, many at a time; each answer is kept when it comes, and never asked for twice."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import Any, NamedTuple, TypedDict

from faithful.base.progress import Progress, Reporter
from studies.common.cache import ResultCache
from studies.explanations.endpoint import Answer, Endpoint, RefusedError
from studies.explanations.evidence import Evidence, Window
from studies.explanations.prompts import Messages, answers_in, explaining, judging, one_line

AT_ONCE = 5
"""Contexts of one question."""


class Explanation(TypedDict):
    """What was said of a latent, "" where that cannot be read, and the tokens that were read and written for it."""

    text: str
    read: int
    written: int


class Judgement(TypedDict):
    """Which contexts a sentence was said to fit (1), of how many answers, how many of these could not be read, and the tokens
    that were read and written."""

    said: list[int]
    answers: int
    unread: int
    read: int
    written: int


class Question(NamedTuple):
    """Contexts, and the sentence that they are judged by."""

    windows: Sequence[Window]
    sentence: str


class Asking:
    """Asks a model.

    Args:
        endpoint: the model.
        answers: keeps what it says; what decides an answer beside the question decides these results.
        at_a_time: requests under way.
        most: tokens of an answer.
    """

    def __init__(self, endpoint: Endpoint, answers: ResultCache, at_a_time: int, most: int) -> None:
        self.endpoint, self._answers, self.at_a_time, self.most = endpoint, answers, at_a_time, most
        self._has_answered, self._stopped = Event(), Event()

    def explain(self, latents: Sequence[Evidence], report: Reporter) -> list[Explanation]:
        """A sentence for each latent."""
        return self._each("explain", "latents", self._explain, [one["shown"] for one in latents], report)

    def judge(self, questions: Sequence[Question], report: Reporter) -> list[Judgement]:
        """Which contexts each sentence fits; an answer that cannot be read recognises nothing, as does no sentence."""
        return self._each("judge", "sentences", self._judge, questions, report)

    def _explain(self, shown: Sequence[Window]) -> Explanation:
        answer = self._ask(explaining(shown))
        return {"text": one_line(answer.said), "read": answer.read, "written": answer.written}

    def _judge(self, question: Question) -> Judgement:
        windows, found = question.windows, Judgement(said=[], answers=0, unread=0, read=0, written=0)
        if not question.sentence:
            found["said"] = [0] * len(windows)
            return found
        for first in range(0, len(windows), AT_ONCE):
            some = windows[first : first + AT_ONCE]
            answer = self._ask(judging(question.sentence, some))
            said = answers_in(answer.said, len(some))
            found["said"] += said or [0] * len(some)
            found["answers"] += 1
            found["unread"] += said is None
            found["read"] += answer.read
            found["written"] += answer.written
        return found

    def _ask(self, messages: Messages) -> Answer:
        """What is kept, else what the model says. A question that is refused counts as one without an answer, which is not
        kept; but where none was ever answered, it is not the question."""
        kept = self._answers.get(messages)
        if kept is not None:
            self._has_answered.set()
            return Answer(**kept)
        if self._stopped.is_set():
            raise InterruptedError
        try:
            answer = self.endpoint.ask(messages, self.most)
        except RefusedError:
            if not self._has_answered.is_set():
                raise
            return Answer(None, 0, 0)
        self._has_answered.set()
        self._answers.put(answer._asdict(), messages)
        return answer

    def _each(
        self, step: str, unit: str, ask: Callable[[Any], Any], asked: Sequence[Any], report: Reporter
    ) -> list[Any]:
        """What is answered to each."""
        with ThreadPoolExecutor(self.at_a_time, step) as pool:
            waiting = {pool.submit(ask, one): place for place, one in enumerate(asked)}
            found: dict[int, Any] = {}
            try:
                for future in as_completed(waiting):
                    found[waiting[future]] = future.result()
                    report(Progress(step, len(found), len(asked), unit))
            except BaseException:
                self._stopped.set()  # what is under way is still kept, nothing more is asked
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [found[place] for place in range(len(asked))]
