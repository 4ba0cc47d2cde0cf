#!/bin/sh
# Rendered by tandem for {{ node.name }} of {{ cluster.name }} ({{ cluster.id }}): change cluster.yaml, not this file.
#
# The seed's way in. Promotion is the agent's, with its fence; by hand it is a switchover.
set -eu
case "${1:-}" in
  promote) exec tandem switchover ;;
  check) exec runuser -u {{ users.postgresql }} -- {{ paths.postgresql_bin }}/pg_isready -q -h {{ paths.postgresql_socket }} -p {{ ports.postgresql }} ;;
  *) echo "Usage: $0 {promote|check}" >&2; exit 64 ;;
esac
