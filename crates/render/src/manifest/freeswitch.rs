use super::{Do, Of, Template, template};
use Of::Freeswitch;

/// Read a call, or by the module when it is told.
const RELOAD: &[Do] = &[Do::Reload("freeswitch.service")];
/// Read when it starts; the calls on this node end.
const RESTART: &[Do] = &[Do::Restart("freeswitch.service")];

pub(super) const FILES: &[Template] = &[
    template!("freeswitch/freeswitch.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/acl.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/callcenter.conf.xml", 0o640).of(Freeswitch).then(RELOAD),
    template!("freeswitch/autoload_configs/conference.conf.xml", 0o640).of(Freeswitch).then(RELOAD),
    template!("freeswitch/autoload_configs/event_socket.conf.xml", 0o600).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/ivr.conf.xml", 0o640).of(Freeswitch).then(RELOAD),
    template!("freeswitch/autoload_configs/json_cdr.conf.xml", 0o600).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/logfile.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/modules.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/opus.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/sofia.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/switch.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/voicemail.conf.xml", 0o640).of(Freeswitch).then(RESTART),
    template!("freeswitch/autoload_configs/xml_curl.conf.xml", 0o600).of(Freeswitch).then(RESTART),
    template!("freeswitch/dialplan/direct.xml", 0o640, DevOnly).of(Freeswitch).then(RELOAD),
    template!("freeswitch/dialplan/tandem.xml", 0o640).of(Freeswitch).then(RELOAD),
    template!("freeswitch/dialplan/transfer.xml", 0o640).of(Freeswitch).then(RELOAD),
    template!("freeswitch/lang/en.xml", 0o640).of(Freeswitch).then(RELOAD),
    template!("freeswitch/profile.inc.xml", 0o640, Partial).of(Freeswitch).then(&[]),
];
