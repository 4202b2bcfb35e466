"""Metrics of the engine for Prometheus, read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from src.whisper_processor import WhisperProcessor


class EngineMetrics(Collector):
    """The load of the loaded models, and the memory of their devices.

    Args:
        processor: of the models.
    """

    def __init__(self, processor: WhisperProcessor) -> None:
        self._processor = processor

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the current load."""
        engines = self._processor.engines()
        snapshots = [snapshot for engine in engines for snapshot in engine.snapshots()]
        values = {
            "whisper_engine_windows_queued": (
                "Windows of up to 30 s that wait for a slot.",
                sum(snapshot.queued for snapshot in snapshots),
            ),
            "whisper_engine_windows_decoding": (
                "Windows in the batches.",
                sum(snapshot.decoding for snapshot in snapshots),
            ),
            "whisper_engine_slots": (
                "Windows that the loaded models decode at once at most.",
                sum(engine.max_batch_size for engine in engines),
            ),
        }
        for name, (meaning, value) in values.items():
            yield GaugeMetricFamily(name, meaning, value=value)
        if torch.cuda.is_available():
            yield from _device_memory()


def _device_memory() -> Iterator[GaugeMetricFamily]:
    used = GaugeMetricFamily("whisper_device_used_bytes", "Memory in use, by all programs.", labels=["device"])
    total = GaugeMetricFamily("whisper_device_total_bytes", "Memory of the device.", labels=["device"])
    for device in range(torch.cuda.device_count()):
        free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        used.add_metric([str(device)], total_bytes - free_bytes)
        total.add_metric([str(device)], total_bytes)
    yield from (used, total)
