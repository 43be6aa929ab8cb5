"""Fixtures that tests of more than one room use, each kind in a module of its own."""

pytest_plugins = [
    "pytester",
    "ltiaas_middleware.pytest_plugin",
    "tests.fixtures.accounts",
    "tests.fixtures.databases",
    "tests.fixtures.figures",
    "tests.fixtures.isolation",
    "tests.fixtures.missing",
    "tests.fixtures.redis",
    "tests.fixtures.tools",
    "tests.fixtures.workers",
]
