"""The worker in RunPod's SDK: asyncio handler, progress in `/status`, fitness checks."""
