"""Where training tells its numbers besides `metrics.jsonl`: TensorBoard, MLflow, W&B or trackio, behind one protocol.

`RunLog` is the protocol, `open_log` gives the one of a name. Each stands in a file of its own, which alone imports its
library, so that nobody needs one that was not asked for.
"""

from samecar.training.logs.choosing import DEFAULT, LOGS, check_log, describe_failure, open_log
from samecar.training.logs.protocol import RunLog

__all__ = ["DEFAULT", "LOGS", "RunLog", "check_log", "describe_failure", "open_log"]
