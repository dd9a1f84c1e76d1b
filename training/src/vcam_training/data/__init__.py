"""Data sets that training makes by itself, and how it reads them."""
