"""Fuzzing: documents without end, against parsers that read HTML as browsers do (`make fuzz`)."""
