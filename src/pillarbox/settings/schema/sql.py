"""Settings of a block that names an SQL database: SQLite, PostgreSQL, or MySQL and MariaDB.

Blocks that may use a database inherit from `SqlBlock`.  TLS towards servers follows the
`ssl_client_*` settings.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc

_HOSTS = (
    "its servers, as `name`, `name:port`, or a path for a UNIX socket; the first that works is used"
)
_REPLICAS = "servers that only answer queries; while one works, no other is asked for them"


class SqlBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Which database, and how to reach it."""

    sql_driver: Annotated[str, Doc("sql: `sqlite`, `pgsql` or `mysql` (also for MariaDB).")] = (
        "sqlite"
    )
    sqlite_path: Annotated[str, Doc("sql: the SQLite file.", kind="file")] = ""

    pgsql_host: Annotated[tuple[str, ...], Doc(f"PostgreSQL: {_HOSTS} (a folder).")] = (
        "localhost",
    )
    pgsql_replica_host: Annotated[tuple[str, ...], Doc(f"PostgreSQL: {_REPLICAS}.")] = ()
    pgsql_port: Annotated[int, Doc("PostgreSQL: port of servers named without one.", least=1)] = (
        5432
    )
    pgsql_user: Annotated[str, Doc("PostgreSQL: user name.")] = ""
    pgsql_password: Annotated[str, Doc("PostgreSQL: password.", kind="secret")] = ""
    pgsql_dbname: Annotated[str, Doc("PostgreSQL: database; empty: named as the user.")] = ""
    pgsql_ssl: Annotated[bool, Doc("PostgreSQL: connect with TLS or not at all.")] = False
    pgsql_parameters: Annotated[
        dict[str, str], Doc("PostgreSQL: run-time parameters, such as `search_path`.")
    ] = msgspec.field(default_factory=dict)
    pgsql_connection_limit: Annotated[
        int, Doc("PostgreSQL: most connections to one server, of each process.", least=1)
    ] = 5
    pgsql_connect_timeout: Annotated[
        float, Doc("PostgreSQL: longest wait for a connection.", kind="time")
    ] = 5 * SECOND
    pgsql_read_timeout: Annotated[
        float, Doc("PostgreSQL: longest wait for an answer.", kind="time")
    ] = 30 * SECOND

    mysql_host: Annotated[tuple[str, ...], Doc(f"MySQL: {_HOSTS}.")] = ("localhost",)
    mysql_replica_host: Annotated[tuple[str, ...], Doc(f"MySQL: {_REPLICAS}.")] = ()
    mysql_port: Annotated[int, Doc("MySQL: port of servers named without one.", least=1)] = 3306
    mysql_user: Annotated[str, Doc("MySQL: user name.")] = ""
    mysql_password: Annotated[str, Doc("MySQL: password.", kind="secret")] = ""
    mysql_dbname: Annotated[str, Doc("MySQL: database.")] = ""
    mysql_ssl: Annotated[bool, Doc("MySQL: connect with TLS or not at all.")] = False
    mysql_connection_limit: Annotated[
        int, Doc("MySQL: most connections to one server, of each process.", least=1)
    ] = 5
    mysql_connect_timeout: Annotated[
        float, Doc("MySQL: longest wait for a connection.", kind="time")
    ] = 5 * SECOND
    mysql_read_timeout: Annotated[float, Doc("MySQL: longest wait for an answer.", kind="time")] = (
        30 * SECOND
    )
