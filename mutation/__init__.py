"""Do the tests bite? Breaks the product in every small way, and sees that some test goes red."""
