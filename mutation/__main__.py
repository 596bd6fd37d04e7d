"""`python -m mutation MODULE...`: breaks these modules in every small way, and runs the tests.

The tests are collected once. Each mutant then has a process of its own, forked from there: the code
of one function, or the value of one constant, is exchanged, and the tests that run the changed line
are run until one fails. Those that start browsers, servers or programs are left out.
"""

from __future__ import annotations

import argparse
import sys

import pytest

from mutation.running import ROOT, Runner

# What runs the packages in the process of the tests.
TESTS = (
    *("asgi", "asgi_logins", "brands", "caching", "check_headers", "configuration", "csp"),
    *("django", "django_checks", "django_impersonation", "django_logins", "django_order"),
    *("eligibility", "embed", "embed_csp", "embed_frameworks", "endpoint", "faults_callbacks"),
    *("faults_endpoint", "faults_host", "faults_own_steps", "faults_types", "faults_views"),
    *("flask", "flask_logins", "flask_order", "flask_security", "framework_caches", "hops"),
    *("hygiene", "hygiene_errors", "identity", "injection", "outcomes", "page", "rotation"),
    *("scanner", "scanner_body_end", "scenarios", "scope", "secret", "snippet", "stack_order"),
    *("testing", "testing_clients", "troubleshooting", "widget_tag", "wsgi", "wsgi_logins"),
)


def main() -> int:
    """Print the mutants that no test notices; return 1 where there is one that is not explained."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="a file name without .py")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="these files of tests alone")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="mutants with this in their name"
    )
    options = parser.parse_args()
    files = options.tests or [f"tests/test_{name}.py" for name in TESTS]
    runner = Runner(options.modules, options.only)
    arguments = "-o addopts= --import-mode=importlib -p no:terminal -p no:cacheprovider".split()
    arguments += ["-m", "not browser and not servers", f"--rootdir={ROOT}", *files]
    status = pytest.main(arguments, [runner])
    return int(status) or runner.unexplained > 0


if __name__ == "__main__":
    sys.exit(main())
