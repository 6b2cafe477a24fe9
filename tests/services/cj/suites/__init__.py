"""The CJ suites: one set of rules, held by the engine, by the service in this process, and by served processes."""

import pytest

# Rules are no test module, but what they say when they fail is read all the same.
pytest.register_assert_rewrite("tests.services.cj.suites.rules")
