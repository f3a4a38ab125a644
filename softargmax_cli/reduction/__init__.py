"""The mathematics: what is asked, in which blocks, by which operations, merged how. No files, no terminal."""
