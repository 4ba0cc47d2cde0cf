#!/bin/sh
# Rendered by tandem for {{ node.name }} of {{ cluster.name }} ({{ cluster.id }}): change cluster.yaml, not this file.
#
# keepalived calls it when it became MASTER. It decides nothing: PostgreSQL, Redis and the address follow the agent.
set -eu
printf 'MASTER\n' >/run/voip-master.state.new
mv /run/voip-master.state.new /run/voip-master.state
exec logger -t tandem -p daemon.notice -- "this node holds the address {{ vip.address }}"
