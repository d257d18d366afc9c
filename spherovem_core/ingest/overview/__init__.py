"""A first look at an acquisition: intensity and sharpness over z, suspicious slices, and a contact sheet."""

from spherovem_core.ingest.overview.contact_sheet import ContactSheet, make_contact_sheet
from spherovem_core.ingest.overview.pages import sheet_page, sheet_picture
from spherovem_core.ingest.overview.survey_of_pixels import Overview, look_over

__all__ = ["ContactSheet", "Overview", "look_over", "make_contact_sheet", "sheet_page", "sheet_picture"]
