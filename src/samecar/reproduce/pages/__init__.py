"""Tables and figures to read: Markdown, HTML, LaTeX and JSON, all made from the same content."""
