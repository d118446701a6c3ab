# Sourced by the scripts beside it. PYTHON: the interpreter that has pyspark. STATE: where Spark may write.
: "${PYTHON:=python3}"
: "${STATE:=/var/lib/insurance-broker-spark}"
: "${HOST:=127.0.0.1}"
: "${MASTER_PORT:=7077}"
SPARK_HOME="$("$PYTHON" -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("pyspark").origin).parent)')"
export SPARK_HOME SPARK_LOCAL_IP="$HOST" PYSPARK_PYTHON="$PYTHON"
# As little as needed about this machine goes into Spark's pages, which are off where they can be.
export SPARK_NO_DAEMONIZE=1
mkdir -p "$STATE"
cd "$STATE" || exit 1
