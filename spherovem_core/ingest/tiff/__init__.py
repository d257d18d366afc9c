"""The TIFF reader: all of ingest that knows TIFF."""
