"""Acquisitions that land: found, waited for, checked, handed over to a deployment or rejected.

Everything follows from looking at the landing folders again and again, never from a file event: what was missed while
nobody looked is seen at the next look. Each acquisition has a record on disk (`records`); what happens to it:

=====================================  =====================================================================================
what lies in the landing folder        outcome
=====================================  =====================================================================================
folder with TIFF slices, TIFF file     waits until it is ready, is checked, then handed over once for each content
sentinel file there                    ready once nothing changed for 5 s; one sentinel counts once
no sentinel                            ready once sizes, times and permissions did not change for ``settle_seconds``
half-copied, still growing             waits: every change starts the waiting anew
half-copied, given up                  rejected: truncated or missing slices, or a file with a copy tool's provisional name;
                                       handed over when the copy is completed
removed while waiting                  forgotten
removed after that                     nothing; the record stays, so that the same content is not processed again
landed again, same content             nothing, whatever the times of its files
landed again, other content            handed over again, into the same results folder; the run replaces what changed
renamed                                an acquisition of its own, with results of its own
same name, other place, same content   nothing: a copy; if the first is gone, it was moved
same name, other place, other content  rejected: two acquisitions must not share a results folder; rename one
folder without files                   waits, unreported
folder without slices                  rejected, as soon as it would be ready
slices in subfolders only              rejected; the message names a subfolder
unreadable folder or file              rejected; looked at again when permissions change
damaged or unsuitable slices, spacing  rejected with everything that the files' directories tell
a single slice                         rejected: a landing folder holds folders of slices, not slices
link that leads out of the folder      rejected, not followed; links that stay inside are followed
name no results folder can have        rejected (backslash, control characters, undecodable bytes, over 200 characters)
hidden file or folder, other files     left alone
landing folder missing or unreadable   said once; its acquisitions keep their records
server down, deployment missing        said once; handed over at the first look at which it works
=====================================  =====================================================================================

Rejected means: one line in the log, one event ``spherovem.acquisition.rejected``, one ``REJECTED.json`` in the results
folder; checked again only when the content changes, or when ``spherovem watch --retry NAME`` asks for it.
"""
