"""Before anything loads torch: one thread each. Tests run side by side, and threads that wait for each other spin.

Property tests have no deadline: on a busy machine an example may take a second, which says nothing about the code.
"""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
