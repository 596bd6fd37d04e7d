"""`ensoras_exempt`, for views that are never touched."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

_View = TypeVar("_View", bound=Callable[..., Any])


def ensoras_exempt(view: _View) -> _View:
    """Never touch what this view answers. The order of decorators does not matter."""

    # Wrappers, as Django's own decorators return: the view may have another URL, not exempt.
    @wraps(view)
    def exempt(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    @wraps(view)
    async def exempt_async(*args: Any, **kwargs: Any) -> Any:
        return await view(*args, **kwargs)

    wrapper: Any = exempt_async if iscoroutinefunction(view) else exempt
    wrapper.ensoras_exempt = True
    return cast(_View, wrapper)
