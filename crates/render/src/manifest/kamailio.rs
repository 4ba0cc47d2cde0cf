use super::{Template, template};

pub(super) const FILES: &[Template] = &[
    template!("kamailio/kamailio.cfg", 0o640),
    template!("kamailio/modules.cfg", 0o600),
    template!("kamailio/route_guard.cfg", 0o640),
    template!("kamailio/route_facts.cfg", 0o640),
    template!("kamailio/route_auth.cfg", 0o640),
    template!("kamailio/route_location.cfg", 0o640),
    template!("kamailio/route_call.cfg", 0o640),
    template!("kamailio/route_dialog.cfg", 0o600),
    template!("kamailio/route_events.cfg", 0o640),
    template!("kamailio/route_rpc.cfg", 0o600),
    template!("kamailio/dispatcher.list", 0o640),
];
