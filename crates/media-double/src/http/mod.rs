//! HTTP towards voipadmind, as FreeSWITCH's mod_xml_curl and mod_json_cdr do it (captures: wire/freeswitch).

mod client;
mod directory;

pub use client::{Answer, Client, Credentials};
pub use directory::{Directory, UserCall};
