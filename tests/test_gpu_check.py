"""The script that checks a GPU runs all its parts on a CPU, on small shapes."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts" / "gpu_check.py"


def test_every_part_of_the_gpu_check_runs_on_a_cpu_and_agrees_with_it(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--size", "tiny", "--device", "cpu", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["attention"]["largest_difference"] < 1e-5
    assert report["engine"]["largest_logprob_difference"] < 1e-4
    assert report["learner"]["gradient_difference"] < 1e-5
    assert report["grpo"]["version_after"] == 1
    assert abs(report["grpo"]["mean_ratio_on_policy"] - 1) < 1e-4
