"""iwax inside other libraries; each module here is imported by name and needs an extra."""
