"""The tool beside the scripts that people write instead: `python -m tests.benchmarks`, from the repository root.

Every number is of a whole process, from its start to its end, on files that the system has in its cache. The tool and
what it is compared with run in turn, so that a slow minute of the machine is everybody's; a result is a ratio of two
medians of one such session. The peers need the extra `bench`; those that are not installed are left out.
"""
