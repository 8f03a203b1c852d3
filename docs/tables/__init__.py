"""A function for each table and value of the pages, by the name in their markers."""
