"""Shared set-up of the suite. Importing `fakes` and `mm_helpers` by name works because this file is here."""
