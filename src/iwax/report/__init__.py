"""From records and run folders to tables, figures, and one HTML page. Nothing here trains."""
