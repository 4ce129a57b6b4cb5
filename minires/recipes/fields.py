"""Fields of a dataclass that say, where they are declared, which values they accept."""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real

from minires.errors import OptionError, UnknownNameError


@dataclass(frozen=True)
class Rule:
    """The values that a field accepts: of `kind`, from `least` on, between the two `bounds` but neither of
    them, and None if it is `optional`."""

    kind: type
    least: float | None = None
    bounds: tuple[float, float] | None = None
    optional: bool = False

    def check(self, name, value):
        """OptionError that names the field unless it accepts the value."""
        if value is None and self.optional:
            return
        if not self.has_kind(value):
            raise OptionError(f"recipe: {name} must be {KIND_NAMES[self.kind]}, not {value!r}")
        if self.least is not None and not value >= self.least:
            raise OptionError(f"recipe: {name} must be at least {self.least}, not {value}")
        if self.bounds is not None and not self.bounds[0] < value < self.bounds[1]:
            low, high = self.bounds
            raise OptionError(f"recipe: {name} must be between {low} and {high}, not {value}")

    def has_kind(self, value):
        """Whether the value is of the rule's kind; True and False are not taken for numbers."""
        return isinstance(value, self.kind) and isinstance(value, bool) == (self.kind is bool)


KIND_NAMES = {Integral: "a whole number", Real: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Words:
    """The words that a field accepts."""

    words: tuple[str, ...]

    def check(self, name, value):
        """UnknownNameError that names the field unless it accepts the word."""
        if value not in self.words:
            raise UnknownNameError(name, value, self.words)


class WholeNumbers:
    """The sequences of whole numbers that a field accepts."""

    def check(self, name, value):
        """OptionError that names the field unless it accepts the numbers."""
        if not (isinstance(value, Iterable) and all(map(Rule(Integral).has_kind, value))):
            raise OptionError(f"recipe: {name} must be whole numbers, not {value!r}")


def whole_number(default=MISSING, **rule):
    """A field for a whole number. The keywords are those of a Rule."""
    return field(default=default, metadata={"rule": Rule(Integral, **rule)})


def number(default=MISSING, **rule):
    """A field for a number. The keywords are those of a Rule."""
    return field(default=default, metadata={"rule": Rule(Real, **rule)})


def flag(default):
    """A field for True or False."""
    return field(default=default, metadata={"rule": Rule(bool)})


def word(default, words):
    """A field for one of the words."""
    return field(default=default, metadata={"rule": Words(tuple(words))})


def whole_numbers():
    """A field for a tuple of whole numbers, empty at first."""
    return field(default=(), metadata={"rule": WholeNumbers()})


def check_fields(record):
    """Check every field of a dataclass that has a rule, in the order in which they are declared."""
    for declared in fields(record):
        if "rule" in declared.metadata:
            declared.metadata["rule"].check(declared.name, getattr(record, declared.name))
