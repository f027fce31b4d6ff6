"""Whatever the service's own description allows is asked, and must be answered as it says."""

import http.client

import pytest
import schemathesis
from galleries import copy_gallery, listening, service, wait_until
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

WITH_FILES = ("POST /api/search", "POST /api/pictures", "PUT /api/judgements")
"""What takes a picture, which no file is that the tester makes."""


@pytest.fixture(scope="module")
def address(painted_gallery, tmp_path_factory):
    """Of a service over a gallery that may be changed."""
    with listening(service(copy_gallery(painted_gallery, tmp_path_factory.mktemp("asked")))) as port:
        wait_until(lambda: status(port, "/ready") == 200)
        yield f"http://127.0.0.1:{port}"


def status(port, target):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", target)
    return connection.getresponse().status


def ask_everything(address, examples):
    asked = []
    for found in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            brings_file = case.operation.label in WITH_FILES
            case.call_and_validate(excluded_checks=[positive_data_acceptance] if brings_file else [])

        ask()
        asked.append(operation.label)
    assert len(asked) == 17, asked


def test_answers_are_as_described(address):
    ask_everything(address, 5)


@pytest.mark.slow
def test_many_answers_are_as_described(address):
    ask_everything(address, 100)
