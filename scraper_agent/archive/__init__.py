"""Where facts and blobs are kept: one file, one writer, and a check of all of it that needs neither."""
