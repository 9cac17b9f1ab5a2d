# SPDX-License-Identifier: Apache-2.0
"""Runs queries with ClickHouse's Python client, for a test: the server and the queries
come as JSON on standard input, the columns and rows of each leave on standard output."""

import json
import sys

import clickhouse_connect

asked = json.load(sys.stdin)
client = clickhouse_connect.get_client(
    host=asked["host"], port=asked["port"], username=asked["user"], password=asked["password"], database=asked["database"]
)
answers = []
for query in asked["queries"]:
    result = client.query(query)
    answers.append({"columns": list(result.column_names), "rows": [str(row[0]) for row in result.result_rows]})
json.dump(answers, sys.stdout)
