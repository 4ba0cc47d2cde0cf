#!/bin/bash
set -euo pipefail

LOGFILE="/var/log/voip-failover.log"
LOCKFILE="/var/lock/failover-backup.lock"
STATE_FILE="/var/run/voip-master.state"

log() {
    echo "[$(date '+%Y-%m-%d %H:%M:%S')] BACKUP: $1" | tee -a "$LOGFILE"
}

exec 200>"$LOCKFILE"
flock -n 200 || {
    log "Another failover_backup running, exiting"
    exit 1
}

log "========================================="
log "TRANSITIONING TO BACKUP STATE"
log "========================================="
echo "BACKUP" > "$STATE_FILE"

# Services remain running in standby mode
# Only log the state change
log "Node is now BACKUP - services running in standby"

# Verify we're actually standby for data services
log "Verifying standby state..."
if sudo -u postgres test -f /var/lib/postgresql/16/main/standby.signal; then
    log "✓ PostgreSQL: Standby mode confirmed"
else
    log "⚠ PostgreSQL: Not in standby mode (may need manual check)"
fi

if redis-cli ROLE | head -1 | grep -q slave; then
    log "✓ Redis: Slave mode confirmed"
else
    log "⚠ Redis: Not in slave mode (may need manual check)"
fi

log "========================================="
log "BACKUP TRANSITION COMPLETE"
log "========================================="

flock -u 200
exit 0
