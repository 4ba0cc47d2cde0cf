//! What can be seen of one node, now.
//!
//! In: where the node's things are ([`Place`]). Out: a [`Snapshot`], the one document that `tandem agent` serves to the
//! peer, `tandem status` shows and `tandem doctor` judges. Every question is asked at the same time as the others and
//! has a limit of its own: an engine that hangs costs its own answer and nobody else's.
//!
//! Architecture invariant: looks, never changes. No decision is taken here, and no secret leaves.

mod bounded;
mod machine;
pub(crate) mod place;
mod postgresql;
mod redis;
mod services;
mod sip;
mod snapshot;
mod state;
mod vip;
mod voip_admin;

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

pub use bounded::{AskError, output};
pub use place::{AGENT_SNAPSHOT, Place, PlaceError, STATE_DIR};
pub use sip::options as sip_options;
pub use snapshot::{
    Disk, Machine, Media, Postgresql, Receiver, Records, Redis, Service, SipAnswer, Slot, Snapshot, Standby,
    Transition, Vip, VoipAdmin,
};
pub use state::{TRANSITIONS_FILE, TRANSITIONS_KEPT_MAX, record_transition};

use services::Versions;

/// Nothing may hold a sample up for longer: the agent takes one a second.
pub const ANSWER_MAX: Duration = Duration::from_millis(800);

/// Samples one node again and again, keeping what is slow to find.
pub struct Observer {
    place: Place,
    postgresql: postgresql::Asked,
    versions: Versions,
    clock: machine::Clock,
}

impl Observer {
    pub fn new(place: Place) -> Self {
        Self {
            place,
            postgresql: postgresql::Asked::default(),
            versions: Versions::default(),
            clock: machine::Clock::default(),
        }
    }

    /// The place it looks at.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// One look at everything; takes [`ANSWER_MAX`] and a moment at most.
    pub async fn sample(&mut self) -> Snapshot {
        let place = &self.place;
        let node = place.address();
        let ports = &place.cluster.ports;
        let (postgresql, redis, vip, services, kamailio, media, voip_admin, machine, clock) = tokio::join!(
            self.postgresql.ask(place),
            redis::ask(place),
            vip::ask(place),
            services::ask(place, &mut self.versions),
            sip::answer(SocketAddr::new(node, ports.sip)),
            sip::answer(SocketAddr::new(node, ports.fs_sip)),
            voip_admin::ask(ports.api),
            machine::look(place),
            self.clock.ask(),
        );
        let state = state::read(place);
        Snapshot {
            node: place.node.clone(),
            cluster: place.cluster.cluster.name.clone(),
            cluster_id: place.cluster.cluster.id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sampled_at: Timestamp::now(),
            role: state.role,
            mode: state.mode,
            epoch: state.epoch,
            join: state.join,
            forced: state.forced,
            state_problem: state.problem,
            postgresql,
            redis,
            vip,
            services,
            kamailio,
            media: Media { engine: place.media_engine().to_owned(), sip: media },
            voip_admin,
            machine: Machine { clock_synchronised: clock, ..machine },
            doing: None,
            transitions: state::transitions(place),
        }
    }
}

/// One look at a node, by whoever has no [`Observer`].
pub async fn sample(place: &Place) -> Snapshot {
    Observer::new(place.clone()).sample().await
}
