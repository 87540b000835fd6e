#!/bin/sh
# Have what the Kafka broker needs before the tests: Java, and the jars, which Maven fetches.
# Installs Java and Maven where that is possible without asking (root on Debian); says what is
# missing everywhere else. Usage: deploy/ensure-java.sh PYTHON
set -eu
python=$1

if [ -n "${GRESS_KAFKA:-}" ]; then
    exit 0 # an existing broker is used
fi
if "$python" -m gress_ml.dev.kafka_jars; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Java and Maven"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        default-jre-headless maven >/dev/null
    exec "$python" -m gress_ml.dev.kafka_jars
fi
echo "Install Java 17 or newer and Maven, or name a running broker in GRESS_KAFKA." >&2
exit 1
