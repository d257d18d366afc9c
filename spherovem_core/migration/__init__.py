"""Migration of results that an older version wrote: what is complete is kept, under the names and digests of this version."""

from spherovem_core.migration.migrate import Migrated, migrate

__all__ = ["Migrated", "migrate"]
