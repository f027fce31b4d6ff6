"""A run of MLflow, where MLFLOW_TRACKING_URI says, in the experiment that MLFLOW_EXPERIMENT_NAME says."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from samecar.training.logs.protocol import PROJECT

BATCH = 100
"""Parameters that MLflow takes at once."""


class MlflowLog:
    """A run of MLflow; its identity is the run's id."""

    def __init__(self, folder: Path, identity: str, done: int | None) -> None:
        self._client = MlflowClient()
        self.identity = identity or self._create(folder.resolve().name)
        self._client.update_run(self.identity, "RUNNING")
        history = [] if done is None else self._client.get_metric_history(self.identity, "train/loss")
        self._told = {metric.step for metric in history if metric.step > (done or 0)}

    def log_settings(self, settings: Mapping[str, str]) -> None:
        """Notes parameters."""
        parameters = [Param(name, value) for name, value in settings.items()]
        for first in range(0, len(parameters), BATCH):
            self._client.log_batch(self.identity, params=parameters[first : first + BATCH])

    def log_values(self, values: Mapping[str, float], step: int) -> None:
        """Notes metrics; an epoch that was told before an interruption is not told twice, as MLflow keeps both."""
        if step in self._told:
            return
        now = int(1000 * time.time())
        self._client.log_batch(self.identity, [Metric(name, value, now, step) for name, value in values.items()])

    def finish(self, *, whole: bool) -> None:
        """Says that the run is finished, for now, or was ended before."""
        self._client.set_terminated(self.identity, "FINISHED" if whole else "KILLED")

    def _create(self, name: str) -> str:
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found is not None else self._client.create_experiment(experiment)
        return str(self._client.create_run(number, run_name=name).info.run_id)
