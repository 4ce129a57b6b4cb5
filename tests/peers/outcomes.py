"""What becomes of the cases of a peer's test suite: they agree, minires refuses them, or they fail."""

import re
from collections import Counter

from minires import MiniresError

# How Function.__call__ reports an error of NumPy's: no refusal by design, so none that excuses a case.
ERROR_OF_NUMPY = re.compile("inputs of shape .* do not fit: ", re.DOTALL)
UNKNOWN_KEYWORD = "got an unexpected keyword argument"


class Outcomes:
    """The outcomes of the cases of one operation.

    agreed: how many cases agreed.
    refused: {message: how many} that minires refused, with an error of its own or for an unknown keyword.
    different: {reason: how many} that failed for a known reason.
    failures: all others, as texts.
    """

    def __init__(self):
        self.agreed, self.refused, self.different, self.failures = 0, Counter(), Counter(), []

    def run(self, text, compare, reason=None):
        """Call `compare`, which raises unless the case agrees.

        text: a function that returns the case for people to read. reason: why the case may fail, if it may.
        """
        try:
            compare()
            self.agreed += 1
        except Exception as error:
            if is_refusal(error):
                self.refused[str(error)] += 1
            elif reason is not None:
                self.different[reason] += 1
            else:
                self.failures.append(f"{text()}\n{type(error).__name__}: {error}")


def is_refusal(error):
    """Whether minires says by design that something does not exist here."""
    if isinstance(error, TypeError):
        return UNKNOWN_KEYWORD in str(error)
    return isinstance(error, MiniresError) and not ERROR_OF_NUMPY.search(str(error))


def assert_no_failures(all_outcomes, most=5):
    """AssertionError with the first `most` failures in full."""
    failures = [failure for outcomes in all_outcomes for failure in outcomes.failures]
    assert not failures, f"{len(failures)} cases fail:\n\n" + "\n\n".join(failures[:most])


def assert_refused_as_listed(all_outcomes, listed, complete=True):
    """AssertionError unless each refusal has one of the `listed` phrases in its message.

    complete: whether these are all cases, so that each phrase must be found.
    """
    messages = {message for outcomes in all_outcomes for message in outcomes.refused}
    not_listed = [message for message in messages if not any(phrase in message for phrase in listed)]
    assert not not_listed, "refused, but not listed:\n" + "\n".join(not_listed[:10])
    gone = [phrase for phrase in listed if not any(phrase in message for message in messages)]
    assert not (complete and gone), f"listed, but nothing is refused for it any more: {gone}"
