"""A site's customers with fastapi-users: a real database, passwords, and a cookie."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from fastapi_users.schemas import BaseUserCreate
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from recipes import EMAILS, Visitor
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

KEY = "a key of the tests, long enough for HS256"
# As weak as it goes: nobody attacks the tests, and they have little time.
PASSWORDS = PasswordHelper(PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)))


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    pass


class Users:
    """The customers of one site, in a database of their own."""

    def __init__(self, folder: Path) -> None:
        # No pool: each request of a test has an event loop of its own.
        self._engine = create_async_engine(
            f"sqlite+aiosqlite:///{folder}/users", poolclass=NullPool
        )
        backend: Any = AuthenticationBackend(
            name="cookie",
            transport=CookieTransport(),
            get_strategy=lambda: JWTStrategy(KEY, lifetime_seconds=60),
        )
        self.fastapi_users = FastAPIUsers[User, uuid.UUID](self._manager, [backend])
        self.log_in_router = APIRouter()
        for route in self.fastapi_users.get_auth_router(backend).routes:
            path = {"/login": "/log-in", "/logout": "/log-out"}[route.path]  # type: ignore[attr-defined]
            self.log_in_router.add_api_route(path, route.endpoint, methods=["POST"])  # type: ignore[attr-defined]
        asyncio.run(self._create())

    async def _create(self) -> None:
        async with self._engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    async def _manager(self) -> AsyncIterator[Manager]:
        async with AsyncSession(self._engine) as session:
            yield Manager(SQLAlchemyUserDatabase(session, User), PASSWORDS)

    def add(self, user: str, **fields: Any) -> None:
        asyncio.run(self._add(user, fields))

    async def _add(self, user: str, fields: Any) -> None:
        async for manager in self._manager():
            new = BaseUserCreate(email=EMAILS[user], password="tea", **fields)
            await manager.create(new)

    def change(self, user: str, **fields: Any) -> None:
        asyncio.run(self._change(user, fields))

    async def _change(self, user: str, fields: Any) -> None:
        async for manager in self._manager():
            await manager.user_db.update(await manager.get_by_email(EMAILS[user]), fields)

    def log_in(self, visitor: Visitor, user: str) -> None:
        form = {"username": EMAILS[user], "password": "tea"}
        assert visitor.get("/log-in", "POST", data=form).status_code == 204
