"""The number of examples of property tests: few in daily runs, all in `make test-all`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

QUICK_EXAMPLES = 10
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")

settings.register_profile("dev", max_examples=QUICK_EXAMPLES, deadline=None)
settings.register_profile("ci", deadline=None)
settings.load_profile(PROFILE)


def examples(count: int) -> settings:
    """Settings for a property test that draws `count` examples in the profile `ci`, and at most 10 in `dev`."""
    return settings(
        max_examples=count if PROFILE == "ci" else min(count, QUICK_EXAMPLES),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
