"""A quorum that meets in one of Django's caches: Redis or Memcached."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from django.core import checks
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from syzygy.messages import error_line
from syzygy.quorum.backends.base import (
    LEASE,
    RosterQuorum,
    StoreUnavailable,
    key,
)

# Places for records that all parties look at, whatever quorum they want.
PLACES = 48
TIMEOUT = 600

T = TypeVar("T")


class CacheQuorum(RosterQuorum):
    """Meets in a cache that all clusters share.

    A cache can't list its keys. So there is a number of places, and a party takes one
    that is free with ``add``. One that another party took in spite of that, because the
    cache was flushed or has no atomic ``add``, is left to it.
    """

    def __init__(
        self,
        alias: str = "default",
        timeout: int = TIMEOUT,
        version: int | None = None,
        *,
        lease: float = LEASE,
    ) -> None:
        """Use the cache of that alias.

        Its entries expire after ``timeout`` seconds, and have the ``version`` that
        Django's caches know. Raises
        :class:`~django.core.exceptions.ImproperlyConfigured` if it can't be used.
        """
        super().__init__(lease=lease)
        if type(timeout) is not int or timeout < 1:
            raise ValueError(
                f'"timeout" has to be a number of whole seconds, not {timeout!r}.'
            )
        self._alias, self._timeout, self._version = alias, timeout, version
        cache = self._connect()
        # Django's own "incr" is "get" and then "set".
        self._is_atomic = type(cache).incr is not BaseCache.incr
        self._cache: BaseCache | None = cache
        self._place: int | None = None
        self._places: dict[int, str] = {}

    def check(self) -> Iterator[checks.CheckMessage]:
        """W002: the cache can't count atomically."""
        if not self._is_atomic:
            name = type(self._connect()).__name__
            yield checks.Warning(
                f'The cache "{self._alias}", in which the quorum meets, is a {name}, '
                "which has no atomic operations.",
                hint=(
                    "Use Redis, Memcached or "
                    '"syzygy.quorum.backends.database.DatabaseQuorum".'
                ),
                id="syzygy.W002",
            )

    def bind(self, connection: BaseDatabaseWrapper) -> None:
        """Refuse a cache in the SQLite file that is locked while it is migrated."""
        cache = self._connect()
        if isinstance(cache, DatabaseCache):
            model = vars(cache)["cache_model_class"]
            if connections[router.db_for_write(model)].vendor == "sqlite":
                raise ImproperlyConfigured(
                    f'The cache "{self._alias}" is a table of a SQLite database, which '
                    "can't be written while it is migrated. Use "
                    '"syzygy.quorum.backends.database.DatabaseQuorum".'
                )

    def read(self, namespace: str, size: int) -> dict[str, str]:
        """The records of all parties."""
        prefix = self._key(namespace, "")
        keys = {f"{prefix}{number}": number for number in range(_places(size))}
        found = self._ask(lambda cache: cache.get_many(keys, version=self._version))
        records = {}
        self._places = {}
        for name, value in found.items():
            party, _, record = str(value).partition(" ")
            self._places[keys[name]] = party
            records[party] = record
        return records

    def write(self, namespace: str, size: int, party: str, record: str) -> None:
        """Keep the record of a party, in a place of its own."""
        value = f"{party} {record}"
        if self._place is not None and self._places.get(self._place, party) == party:
            place = self._key(namespace, self._place)
            self._ask(lambda cache: self._set(cache, place, value))
            return
        for number in self._free(size):
            place = self._key(namespace, number)
            if self._ask(partial(self._add, name=place, value=value)):
                self._place = number
                self._places[number] = party
                return
        raise StoreUnavailable(
            f'The cache "{self._alias}" takes no entries, or too many parties are there'
        )

    def remove(self, namespace: str, party: str) -> None:
        """Forget the record of a party."""
        for number, owner in self._places.items():
            if owner == party:
                self._delete(self._key(namespace, number), f"{party} ")

    def claim(self, namespace: str, party: str) -> bool:
        """Keep the claim of a party, if there is no other."""
        if not self._is_atomic:
            raise ImproperlyConfigured(
                f'The cache "{self._alias}" has no atomic operations, so it can\'t '
                "stand in for the migration lock. Turn the lock on."
            )
        name, version = self._key(namespace, "claim"), self._version
        # It is renewed with every beat of the heart.
        seconds = int(3 * self.lease) + 1
        if self._ask(lambda cache: cache.add(name, party, seconds, version=version)):
            return True
        if self._ask(lambda cache: cache.get(name, version=version)) != party:
            return False
        self._ask(lambda cache: cache.set(name, party, seconds, version=version))
        return True

    def disclaim(self, namespace: str, party: str) -> None:
        """Forget the claim of that party."""
        self._delete(self._key(namespace, "claim"), party)

    def count(self, namespace: str, name: str, step: int) -> int:
        """Add to a counter and return what it is then."""
        name = self._key(namespace, name)

        def count(cache: BaseCache) -> int:
            if step == 0:
                return int(cache.get(name, 0, version=self._version))
            while True:
                # There is none yet, or it expired.
                with contextlib.suppress(ValueError):
                    return int(cache.incr(name, step, version=self._version))
                self._add(cache, name, 0)

        return self._ask(count)

    def close(self) -> None:
        """Let go of the cache."""
        cache, self._cache = self._cache, None
        with contextlib.suppress(Exception):
            if cache is not None:
                cache.close()

    def _connect(self) -> BaseCache:
        # A list, because what somebody took for an alias may have no hash.
        if self._alias not in list(caches):
            raise ImproperlyConfigured(
                f'There is no cache "{self._alias}" in the setting "CACHES".'
            )
        try:
            cache: BaseCache = caches.create_connection(self._alias)
        except (KeyError, InvalidCacheBackendError) as error:
            raise ImproperlyConfigured(str(error)) from error
        if isinstance(cache, (LocMemCache, DummyCache)):
            raise ImproperlyConfigured(
                f'The cache "{self._alias}" is a {type(cache).__name__}, which no '
                "other process can see. Name one that all clusters share."
            )
        return cache

    def _ask(self, question: Callable[[BaseCache], T]) -> T:
        cache = self._cache
        try:
            if cache is None:
                cache = self._cache = self._connect()
            return question(cache)
        except (ImproperlyConfigured, StoreUnavailable):
            raise
        except Exception as error:
            # Every client has its own. Some avoid a server that failed for a minute;
            # another connection doesn't.
            self.close()
            raise StoreUnavailable(
                f'The cache "{self._alias}" can\'t be asked: {error_line(error)}'
            ) from error

    def _set(self, cache: BaseCache, name: str, value: Any) -> None:
        cache.set(name, value, self._timeout, version=self._version)

    def _add(self, cache: BaseCache, name: str, value: Any) -> bool:
        return cache.add(name, value, self._timeout, version=self._version)

    def _delete(self, name: str, beginning: str) -> None:
        value = self._ask(lambda cache: cache.get(name, version=self._version))
        if str(value).startswith(beginning):
            self._ask(lambda cache: cache.delete(name, version=self._version))

    def _free(self, size: int) -> list[int]:
        """Free places, first those that parties of all sizes look at."""
        numbers = [n for n in range(_places(size)) if n not in self._places]
        random.shuffle(numbers)
        return sorted(numbers, key=lambda number: number >= PLACES)

    @staticmethod
    def _key(namespace: str, name: object) -> str:
        return f"syzygy:{key(namespace)}:{name}"


def _places(size: int) -> int:
    return PLACES + 2 * size
