"""Jobs on the endpoint: HTTP API, polling, retries, parallel jobs, and the journal that resumes them."""
