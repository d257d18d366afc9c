"""Detection of acquisitions in the landing folders: wait, check, then start a run or reject.

Every decision comes from a scan of the landing folders, never from a file event, so nothing is lost while the watcher is
down. Each acquisition has a record on disk (`records`). Findings of the watcher, and its actions:

=====================================  =====================================================================================
in the landing folder                  outcome
=====================================  =====================================================================================
folder of slices, file of slices       waits until it is ready, is checked, then processed once for each content
sentinel file present                  ready when nothing changed for 5 s; one sentinel counts once
no sentinel                            ready when sizes, times and permissions did not change for ``settle_seconds``
half-copied, still growing             waits: every change restarts the waiting time
half-copied, copy abandoned            rejected: truncated or missing slices, or a file with a copy tool's provisional name;
                                       processed when the copy is completed
removed while waiting                  forgotten
removed later                          nothing; the record stays, so the same content is not processed again
landed again, same content             nothing, also with other times of files
landed again, other content            processed again into the same results folder; the run replaces what changed
renamed                                a new acquisition with its own results
same name, other place, same content   nothing: a copy; if the first is gone, it was moved
same name, other place, other content  rejected: two acquisitions cannot share a results folder; rename one
folder without files                   waits, unreported
folder without slices                  rejected when it would be ready
slices in subfolders only              rejected; the message names a subfolder
unreadable folder or file              rejected; checked again when permissions change
damaged or unsuitable slices, spacing  rejected with every problem that the headers of the files show
what breaks a reader in any other way  rejected with the error; the others go on
a single slice                         rejected: a landing folder holds folders of slices, not slices
link to outside the landing folder     rejected, not followed; links to inside are followed
name unusable for a results folder     rejected (backslash, control characters, undecodable bytes, over 200 characters)
hidden file or folder, other files     ignored
landing folder missing or unreadable   logged once; its acquisitions keep their records
server down, deployment missing        logged once; processed at the first scan at which the server works
=====================================  =====================================================================================

A rejection is one line in the log, one event ``spherovem.acquisition.rejected`` and one ``REJECTED.json`` in the results
folder. The acquisition is checked again only when its content changes, or after ``spherovem watch --retry NAME``.
"""
