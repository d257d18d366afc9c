"""Migration of results of an older version: complete results are kept, under the names and digests of this version."""

from spherovem_core.migration.migrate import Migrated, holds_results, migrate

__all__ = ["Migrated", "holds_results", "migrate"]
