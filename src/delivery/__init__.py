"""Delivery of results: answers within the size limits, streams, files in a bucket, webhooks."""
