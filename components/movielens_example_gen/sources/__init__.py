"""Which files a release or a span has, and how they are written."""
