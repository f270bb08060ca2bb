"""Everything that can go wrong, by whose fault it is.

A TarlayersError says which place of the input is meant, at which byte offset where one is known, and
why. Mistakes of the calling code stay ValueError and TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

_QUOTED = 200  # a digest of sha512 has 135 characters


class TarlayersError(Exception):
    """The base of every error that tarlayers raises on purpose.

    `place` names the spot as a user would look for it (archive member, layer, path inside the layer),
    outermost first; `offset` is a byte offset in the innermost of those places.
    """

    def __init__(self, reason: str, *, place: str = "", offset: int | None = None) -> None:
        super().__init__(reason, place, offset)
        self.reason = reason
        self.place = place
        self.offset = offset

    def __str__(self) -> str:
        where = self.place
        if self.offset is not None:
            where = f"{where} at offset {self.offset}" if where else f"offset {self.offset}"
        return f"{where}: {self.reason}" if where else self.reason

    def __reduce__(self) -> tuple[Callable[..., TarlayersError], tuple[object, ...]]:
        """Cross to another process, which an exception does by its positional arguments alone unless told."""
        return partial(type(self), place=self.place, offset=self.offset), (self.reason,)

    def inside(self, outer: str) -> TarlayersError:
        """Give the same error with `outer` put in front of its place, for the caller who knows more."""
        return type(self)(self.reason, place=join_places(outer, self.place), offset=self.offset)


def join_places(outer: str, inner: str) -> str:
    """Put one place in front of another."""
    return f"{outer}: {inner}" if outer and inner else outer or inner


def quote(value: object) -> str:
    """Give a value of the input as errors show it: of a long text the front, of arrays and objects what they are."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _QUOTED else f"{value[:_QUOTED]!r}..."
    if isinstance(value, list | Mapping):
        return "an array" if isinstance(value, list) else "an object"
    return repr(value)


def starts_with(place: str, outer: str) -> bool:
    """Say whether the outermost of a place's parts is `outer`: as it is, as the end of a file's path, or as a directory
    that the file is in. `a.tar.gz` is not in `a.tar`.
    """
    before, found, _ = f"/{place}: ".partition(f"/{outer}: ")
    return bool(found and ": " not in before) or place.startswith(f"{outer.rstrip('/')}/")


class MalformedInput(TarlayersError):
    """The bytes are not what they have to be: cut short, corrupt, or against the format's rules."""


class ReadFailed(MalformedInput):
    """The bytes cannot be had: the disk or whoever sends them failed, or the file has become shorter."""


class UnsupportedInput(TarlayersError):
    """The bytes may be fine, but this is a form that tarlayers does not read."""


class LimitExceeded(TarlayersError):
    """Reading on would cost more than a bound of `limits.Limits` allows; `limit` is the name of that bound."""

    def __init__(self, reason: str, *, limit: str, place: str = "", offset: int | None = None) -> None:
        super().__init__(reason, place=place, offset=offset)
        self.limit = limit

    def __reduce__(self) -> tuple[Callable[..., TarlayersError], tuple[object, ...]]:
        make, arguments = super().__reduce__()
        return partial(make, limit=self.limit), arguments

    def inside(self, outer: str) -> LimitExceeded:
        """As for every error; it goes on naming the bound."""
        place = join_places(outer, self.place)
        return LimitExceeded(self.reason, limit=self.limit, place=place, offset=self.offset)


class ContentAbsent(TarlayersError):
    """The question needs bytes that the archive names but does not hold."""


class PassedOver(ContentAbsent):
    """Bytes of a stream that nobody looked at while they passed: a file in place of the stream has them."""


class NoSuchImage(TarlayersError):
    """No image, or more than one, answers to the given reference. The caller's choice is wrong."""


class NoSuchLayer(TarlayersError):
    """No layer, or more than one, answers to the given index, digest or prefix."""


class NoSuchPath(TarlayersError):
    """The image has no such path (or it is of a type that the question does not apply to)."""


class MalformedPolicy(TarlayersError):
    """A policy is not what it has to be. `place` is its file and line; the caller's configuration is wrong."""


class DestinationRefused(TarlayersError):
    """What is to be written would replace, or go through, something that the destination holds already."""


class Refused(Exception):
    """An entry or a layer that an engine refuses, by which rule of docs/semantics.md. Of a blob it is told before
    anything is merged (`Layer.blob_refusal`); what is raised never leaves the merge, where it becomes a `Refusal`.
    """

    def __init__(self, code: str, message: str, rule: str) -> None:
        super().__init__(code, message, rule)
        self.code = code
        self.message = message
        self.rule = rule


class naming:  # noqa: N801 # it reads as what `with` does
    """Put `place` in front of what an error says, unless it stands there already (`starts_with`). What ran out of
    memory or stack is noted to be there, and goes on.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TarlayersError) and not starts_with(error.place, self._place):
            raise error.inside(self._place) from error
        if isinstance(error, MemoryError | RecursionError):
            error.add_note(self._place)


def noted_place(error: BaseException) -> str:
    """Give the place that was noted while an error of Python's own came through; the empty string for none."""
    place = ""
    for outer in getattr(error, "__notes__", ()):
        place = place if starts_with(place, outer) else join_places(outer, place)
    return place
