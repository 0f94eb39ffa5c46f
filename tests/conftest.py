"""Before anything loads torch: one thread each. Tests run side by side, and threads that wait for each other spin.

Property tests have no deadline: on a busy machine an example may take a second, which says nothing about the code. The
event loop of a test has a clock that the test can move (tests/clock.py). What the package remembers of its user lies in
a folder of this test run.
"""

import asyncio
import os
import tempfile

from hypothesis import HealthCheck, settings

from tests.clock import Policy

os.environ.setdefault("OMP_NUM_THREADS", "1")
_STATE = tempfile.TemporaryDirectory(prefix="wideseek-tests-")
os.environ["XDG_STATE_HOME"] = _STATE.name
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
asyncio.set_event_loop_policy(Policy())
