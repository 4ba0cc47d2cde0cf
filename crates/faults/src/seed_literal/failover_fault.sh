#!/bin/bash
set -euo pipefail

LOGFILE="/var/log/voip-failover.log"

log() {
    echo "[$(date '+%Y-%m-%d %H:%M:%S')] FAULT: $1" | tee -a "$LOGFILE"
}

log "============================================="
log "FAULT DETECTED ON KEEPALIVED"
log "============================================="

# Diagnostic information
log "Service status:"
systemctl is-active kamailio && log "  Kamailio: active" || log "  Kamailio: INACTIVE"
systemctl is-active freeswitch && log "  FreeSWITCH: active" || log "  FreeSWITCH: INACTIVE"
systemctl is-active postgresql && log "  PostgreSQL: active" || log "  PostgreSQL: INACTIVE"
systemctl is-active redis && log "  Redis: active" || log "  Redis: INACTIVE"

# Send alert (email, Slack, PagerDuty, etc.)
# mail -s "VoIP Keepalived FAULT on $(hostname)" admin@example.com <<< "Check logs at $LOGFILE"

log "Services remain running despite FAULT state"
log "Manual intervention may be required"

exit 0
