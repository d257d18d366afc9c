"""The TIFF reader; no other module of ingest knows TIFF."""
