"""The API's own description: it names every route, and a real server answers what it says to whatever is asked."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from dashboard.bootstrap import Services
from dashboard.web.openapi import ANSWERS

HERE = "/api/v1/openapi.json"
TOLD = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def headers(services: Services) -> dict[str, str]:
    return {"Authorization": f"Bearer {services.tokens.add('ci', ['force:*', 'audit'], 'a test').token}"}


@pytest.fixture
def document(app: Flask, headers: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] | None = app.test_client().get(HERE, headers=headers).json
    assert found is not None
    return found


def test_without_a_token_nothing_is_described(app: Flask, three: tuple[str, ...]) -> None:
    assert app.test_client().get(HERE).status_code == 401


def test_every_route_and_method_is_described_and_nothing_else(
    three: tuple[str, ...], app: Flask, document: dict[str, Any]
) -> None:
    there = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == there
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert sorted(names) == sorted(ANSWERS)


def test_whatever_is_asked_the_server_answers_as_described(
    three: tuple[str, ...], address: str, headers: dict[str, str], services: Services
) -> None:
    ask_everything(address, headers, services, examples=4)


@pytest.mark.slow
def test_whatever_is_asked_for_long_the_server_answers_as_described(
    three: tuple[str, ...], address: str, headers: dict[str, str], services: Services
) -> None:
    ask_everything(address, headers, services, examples=150)


def ask_everything(address: str, headers: dict[str, str], services: Services, examples: int) -> None:
    """Each operation with what it takes and with what it does not, at addresses that are there and that are not."""
    real = {"name": "staging", "run_id": _run(address, headers, services)}
    with requests.Session() as session:
        schema = schemathesis.openapi.from_url(address + HERE, headers=headers)
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in GenerationMode:

                @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
                @given(case=operation.as_strategy(generation_mode=mode))
                def ask(case: Case) -> None:
                    wrong = case.meta and case.meta.generation.mode.is_negative and _is_written_in_full(case, address)
                    more = [negative_data_rejection] if wrong else []
                    case.call_and_validate(checks=[*TOLD, *more], headers=headers, session=session)
                    if case.path_parameters:
                        case.path_parameters = {name: real[name] for name in case.path_parameters}
                        case.call_and_validate(checks=TOLD, headers=headers, session=session)

                ask()


def _is_written_in_full(case: Case, address: str) -> bool:
    """Of a list without a value nothing stands in an address: what is wrong about the question is not asked."""
    sent = urlsplit(requests.Request(**case.as_transport_kwargs(base_url=address)).prepare().url)
    return set(case.query or ()) <= {name for name, _ in parse_qsl(sent.query, keep_blank_values=True)}


def _run(address: str, headers: dict[str, str], services: Services) -> str:
    """One that has ended, with events and a history."""
    plan = requests.get(f"{address}/api/v1/environments/staging/plan", headers=headers, timeout=10).json()
    answer = requests.post(
        f"{address}/api/v1/environments/staging/apply", headers=headers, json={"digest": plan["digest"]}, timeout=10
    )
    run_id: str = answer.json()["run_id"]
    services.runs.execute(run_id)
    return run_id
