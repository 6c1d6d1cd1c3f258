"""From numbers to files: words, tables, pages, and what each file says of its origin."""
