"""A real cluster of Spark, from PyPI; run by `make test-spark` alone."""
