"""Errors of a disk that a retry does not solve: it is full, a quota is used up, or it is read-only."""

import errno

DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
