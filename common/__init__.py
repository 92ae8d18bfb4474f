"""Modules that several packages use; they import none of these packages."""
