"""One module a stage: a cached, retryable Prefect task around functions of the core."""
