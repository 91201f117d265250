"""The Python client clickhouse-connect, unmodified, against a running store.

    python3 -m venv target/clickhouse-connect
    target/clickhouse-connect/bin/pip install clickhouse-connect
    ZHILI_STORE_KEY=... target/clickhouse-connect/bin/python \
        services/store/tests/clickhouse_connect_check.py http://127.0.0.1:7404

Ends with 0 and the line `ok` when all checks pass.
"""

import datetime
import os
import sys
import urllib.parse

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError


def main() -> None:
    url = urllib.parse.urlparse(sys.argv[1])
    key = os.environ["ZHILI_STORE_KEY"]
    checked = 0
    for compress in (True, False, "gzip", "lz4"):
        client = clickhouse_connect.get_client(
            host=url.hostname, port=url.port, username="default", password=key, compress=compress
        )
        assert client.ping()
        client.command("CREATE DATABASE IF NOT EXISTS connect")
        client.command("DROP TABLE IF EXISTS connect.t")
        client.command(
            "CREATE TABLE connect.t (id UInt64, name String, kind LowCardinality(String),"
            " score Nullable(Float64), tags Array(String), extra Map(String, String),"
            " at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id"
        )
        at = datetime.datetime(2026, 11, 22, 8, 30, tzinfo=datetime.timezone.utc)
        rows = [
            [n, f"客户 {n}", "billing", None if n % 3 else n / 4, ["a", "b"], {"k": str(n)}, at]
            for n in range(70_000)
        ]
        summary = client.insert("connect.t", rows)
        assert summary.written_rows == len(rows), summary.summary
        assert client.command("SELECT count() FROM connect.t") == len(rows)

        result = client.query(
            "SELECT * FROM connect.t WHERE id < {below:UInt64} ORDER BY id",
            parameters={"below": 50_000},
            settings={"max_block_size": 10_000},
        )
        # The client gives times in UTC without their zone.
        expected = [(*row[:-1], at.replace(tzinfo=None)) for row in rows[:50_000]]
        assert result.result_rows == expected, result.result_rows[:3]
        assert client.query("SELECT 1 WHERE 0").result_rows == []
        assert client.query("SELECT * FROM connect.t LIMIT 0").column_names[0] == "id"

        with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
            assert sum(len(block) for block in stream) == 1_000_000

        client.raw_insert("connect.t", ["id", "name"], b"1000000\tlast\n", fmt="TabSeparated")
        assert client.raw_query("SELECT max(id) FROM connect.t", fmt="CSV") == b"1000000\n"

        for sql, code in (
            ("SELECT * FROM connect.nowhere", 60),
            ("SELECT throwIf(number = 900000) FROM numbers(1000000)", 395),
            ("SELECT file('/etc/passwd')", 497),
        ):
            try:
                client.query(sql)
            except DatabaseError as error:
                assert error.code == code or f"ode: {code}" in str(error), (sql, error)
            else:
                raise AssertionError(f"{sql} did not fail")
        try:
            with client.query_row_block_stream(
                "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"
            ) as stream:
                for _ in stream:
                    pass
        except Exception as error:  # noqa: BLE001 - the client has several classes for it
            assert "395" in str(error) or "throwIf" in str(error), error
        else:
            raise AssertionError("an error within a stream went unseen")

        client.command("DROP TABLE connect.t")
        client.close()
        checked += 1

    try:
        clickhouse_connect.get_client(
            host=url.hostname, port=url.port, username="default", password="wrong"
        )
    except DatabaseError as error:
        assert "516" in str(error), error
    else:
        raise AssertionError("a wrong key got in")
    print(f"ok: clickhouse-connect {clickhouse_connect.common.version()}, {checked} codings")


if __name__ == "__main__":
    main()
