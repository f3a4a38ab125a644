"""The mathematics: problems, blocks, the kernel, and the merge of states. No files, no terminal."""
