"""The report of a slide, as a laboratory signs it: content, page, JSON, CSV and FHIR."""
