"""The built-in operators: one file each, found by the catalogue by listing this folder."""
