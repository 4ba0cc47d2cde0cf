#!/bin/sh
# Rendered by tandem for {{ node.name }} of {{ cluster.name }} ({{ cluster.id }}): change cluster.yaml, not this file.
#
# The seed's health report, as it is called there.
set -eu
exec tandem status "$@"
