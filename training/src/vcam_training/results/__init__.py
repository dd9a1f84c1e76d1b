"""What an evaluation leaves to be read: tables, pictures, mistakes, a page."""
