"""Face: the pages in the browser."""
