use super::{Template, template};

pub(super) const FILES: &[Template] = &[
    template!("freeswitch/freeswitch.xml", 0o640),
    template!("freeswitch/autoload_configs/acl.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/callcenter.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/conference.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/event_socket.conf.xml", 0o600),
    template!("freeswitch/autoload_configs/ivr.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/json_cdr.conf.xml", 0o600),
    template!("freeswitch/autoload_configs/logfile.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/modules.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/opus.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/sofia.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/switch.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/voicemail.conf.xml", 0o640),
    template!("freeswitch/autoload_configs/xml_curl.conf.xml", 0o600),
    template!("freeswitch/dialplan/direct.xml", 0o640, DevOnly),
    template!("freeswitch/dialplan/tandem.xml", 0o640),
    template!("freeswitch/dialplan/transfer.xml", 0o640),
    template!("freeswitch/lang/en.xml", 0o640),
    template!("freeswitch/profile.inc.xml", 0o640, Partial),
];
