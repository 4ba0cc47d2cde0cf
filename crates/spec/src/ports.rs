//! Port numbers, and moving all of them by an offset so that several dev nodes can run side by side.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// Highest offset that keeps the dev defaults (up to 20999) inside 16 bits.
pub const PORT_OFFSET_MAX: u16 = 44_000;

/// Ports that no key moves, of services only a server has: the recordings' copy to the peer, and Prometheus' exporters of
/// the machine, Redis and PostgreSQL, each at the number the field knows it by.
pub const FIXED: [(&str, u16); 4] = [
    ("recordings' rsync", 8730),
    ("prometheus-node-exporter", 9100),
    ("prometheus-redis-exporter", 9121),
    ("prometheus-postgres-exporter", 9187),
];

/// Every port of a node. Defaults are a server's; `tandem init --dev` writes others for PostgreSQL, Redis and RTP, so
/// that a dev node does not meet the services Debian starts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    #[serde(deserialize_with = "port")]
    pub sip: u16,
    #[serde(deserialize_with = "port")]
    pub api: u16,
    #[serde(deserialize_with = "port")]
    pub fs_sip: u16,
    /// FreeSWITCH's profile `direct`, dev only.
    #[serde(deserialize_with = "port")]
    pub fs_direct: u16,
    #[serde(deserialize_with = "port")]
    pub esl: u16,
    #[serde(deserialize_with = "port")]
    pub postgresql: u16,
    #[serde(deserialize_with = "port")]
    pub redis: u16,
    #[serde(deserialize_with = "port")]
    pub kamailio_rpc: u16,
    /// `tandem agent`: what the other node and an operator ask, on the peer link and loopback.
    #[serde(deserialize_with = "port")]
    pub agent: u16,
    /// First and last RTP port, both used.
    #[serde(deserialize_with = "port")]
    pub rtp_min: u16,
    #[serde(deserialize_with = "port")]
    pub rtp_max: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            sip: 5060,
            api: 8080,
            fs_sip: 5080,
            fs_direct: 5082,
            esl: 8021,
            postgresql: 5432,
            redis: 6379,
            kamailio_rpc: 5065,
            agent: 7400,
            rtp_min: 16_384,
            rtp_max: 32_767,
        }
    }
}

impl Ports {
    /// The dev node's ports, each moved up by `offset` (at most [`PORT_OFFSET_MAX`]; more is cut to it).
    pub fn dev(offset: u16) -> Self {
        let by = |port: u16| port.saturating_add(offset.min(PORT_OFFSET_MAX));
        let node = Self::default();
        // RTP goes by pairs that start at an even port, whatever the offset.
        let even = |port: u16| by(port) & !1;
        Self {
            sip: by(node.sip),
            api: by(node.api),
            fs_sip: by(node.fs_sip),
            fs_direct: by(node.fs_direct),
            esl: by(node.esl),
            postgresql: by(15_432),
            redis: by(16_379),
            kamailio_rpc: by(node.kamailio_rpc),
            agent: by(node.agent),
            rtp_min: even(20_000),
            rtp_max: even(20_000) + 999,
        }
    }

    /// The single ports with their keys, for checks and for messages.
    pub fn named(&self) -> [(&'static str, u16); 9] {
        [
            ("sip", self.sip),
            ("api", self.api),
            ("fs_sip", self.fs_sip),
            ("fs_direct", self.fs_direct),
            ("esl", self.esl),
            ("postgresql", self.postgresql),
            ("redis", self.redis),
            ("kamailio_rpc", self.kamailio_rpc),
            ("agent", self.agent),
        ]
    }
}

fn port<'de, D: Deserializer<'de>>(d: D) -> Result<u16, D::Error> {
    let number = i64::deserialize(d)?;
    u16::try_from(number)
        .map_err(|_| D::Error::custom(format!("{number} is no port: it must be between 1024 and 65535")))
}
