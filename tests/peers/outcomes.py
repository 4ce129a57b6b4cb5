"""What becomes of the cases of a peer's test suite: they agree, minires refuses them, or they fail."""

import re
from collections import Counter

from minires import MiniresError

# How Function.__call__ reports an error of NumPy's: no refusal by design, so none that excuses a case.
ERROR_OF_NUMPY = re.compile("inputs of shape .* do not fit: ", re.DOTALL)
UNEXPECTED_KEYWORD = re.compile(r"unexpected keyword argument '(\w+)'")


class Outcomes:
    """The outcomes of the cases of one operation.

    agreed: how many cases agreed.
    refused: {message: how many} that minires refused with an error of its own.
    absent: {name: how many} that pass an argument by a name that the function does not have.
    different: {reason: how many} that failed for a known reason.
    failures: all others, as texts.
    """

    def __init__(self):
        self.agreed = 0
        self.refused, self.absent, self.different, self.failures = Counter(), Counter(), Counter(), []

    def run(self, text, compare, reason=None):
        """Call `compare`, which raises unless the case agrees.

        text: a function that returns the case for people to read. reason: why the case may fail, if it may.
        """
        try:
            compare()
            self.agreed += 1
        except Exception as error:
            message = str(error)
            keyword = UNEXPECTED_KEYWORD.search(message) if isinstance(error, TypeError) else None
            if isinstance(error, MiniresError) and not ERROR_OF_NUMPY.search(message):
                self.refused[message] += 1
            elif keyword:
                self.absent[keyword[1]] += 1
            elif reason is not None:
                self.different[reason] += 1
            else:
                self.failures.append(f"{text()}\n{type(error).__name__}: {message}")


def assert_no_failures(all_outcomes, most=5):
    """AssertionError with the first `most` failures in full."""
    failures = [failure for outcomes in all_outcomes for failure in outcomes.failures]
    assert not failures, f"{len(failures)} cases fail:\n\n" + "\n\n".join(failures[:most])
