"""What runs, in what order: one flow per file, and the `ratchet` command."""

from infra.offline import silence_telemetry

silence_telemetry()
