use super::{Do, Of, Template, template};
use Of::Kamailio;

/// It reads its configuration when it starts. Registrations come back from the database and from the peer.
const RESTART: &[Do] = &[Do::Restart("kamailio.service")];

pub(super) const FILES: &[Template] = &[
    template!("kamailio/kamailio.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/modules.cfg", 0o600).of(Kamailio).then(RESTART),
    template!("kamailio/route_guard.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/route_facts.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/route_auth.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/route_location.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/route_call.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/route_dialog.cfg", 0o600).of(Kamailio).then(RESTART),
    template!("kamailio/route_events.cfg", 0o640).of(Kamailio).then(RESTART),
    template!("kamailio/route_rpc.cfg", 0o600).of(Kamailio).then(RESTART),
    template!("kamailio/dispatcher.list", 0o640).of(Kamailio).then(RESTART),
];
