"""The self-contained HTML page: sections, tables, the interactive plot."""
