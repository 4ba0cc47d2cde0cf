//! What is known of one leg, gathered while its call lasts.

use serde::Serialize;
use uuid::Uuid;

use super::Cause;
use crate::clock;
use crate::rtp::Counters;

/// FreeSWITCH's direction of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The caller's.
    Inbound,
    /// One we called.
    Outbound,
}

/// FreeSWITCH's caller profile: who called what, on which channel.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Profile {
    /// User name of the caller.
    pub username: String,
    /// `XML` where a dialplan was or would be walked.
    pub dialplan: &'static str,
    /// Caller's display name.
    pub caller_id_name: String,
    /// Caller's number again, as the network gave it.
    pub ani: String,
    /// Always empty.
    pub aniii: String,
    /// Caller's number.
    pub caller_id_number: String,
    /// Address the call came from.
    pub network_addr: String,
    /// Always empty: nothing is redirected here.
    pub rdnis: String,
    /// Number called.
    pub destination_number: String,
    /// The leg's uuid.
    pub uuid: String,
    /// Module that made the channel.
    pub source: &'static str,
    /// Dialplan context.
    pub context: &'static str,
    /// `sofia/<profile>/<user>@<host>`.
    pub chan_name: String,
}

/// The leg at the other end of this one.
#[derive(Debug, Clone)]
pub enum Other {
    /// The leg that caused this one.
    Originator(Profile),
    /// The leg this one caused.
    Originatee(Profile),
}

/// An application the dialplan ran.
#[derive(Debug, Clone, Serialize)]
pub struct App {
    /// Its name.
    pub app_name: &'static str,
    /// Its argument.
    pub app_data: String,
    /// When, in microseconds since the epoch.
    pub app_stamp: String,
}

/// Moments of a leg, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// The INVITE.
    pub created: i64,
    /// Ringing.
    pub progress: Option<i64>,
    /// Early or answered media.
    pub progress_media: Option<i64>,
    /// The 200.
    pub answered: Option<i64>,
    /// Connected to the other leg.
    pub bridged: Option<i64>,
    /// A queue's bridging counts as a transfer: it begins a second profile.
    pub transferred: Option<i64>,
    /// The end; set when the document is written, if not before.
    pub hungup: Option<i64>,
}

/// One leg.
#[derive(Debug, Clone)]
pub struct Leg {
    /// Caller's or our own.
    pub direction: Direction,
    /// Who called what.
    pub profile: Profile,
    /// The leg bridged to.
    pub other: Option<Other>,
    /// When what happened.
    pub times: Times,
    /// Why it ended.
    pub cause: Cause,
    /// Applications, oldest first. Legs that we call run none.
    pub apps: Vec<App>,
    /// RTP packets, where there was media.
    pub media: Option<Counters>,
    variables: Vec<(&'static str, String)>,
}

impl Leg {
    /// A leg that begins now under a new uuid.
    pub fn new(direction: Direction, mut profile: Profile) -> Self {
        profile.uuid = Uuid::new_v4().to_string();
        Self {
            direction,
            profile,
            other: None,
            times: Times { created: clock::now(), ..Times::default() },
            cause: Cause::NormalClearing,
            apps: Vec::new(),
            media: None,
            variables: Vec::new(),
        }
    }

    /// The leg's uuid.
    pub fn uuid(&self) -> &str {
        &self.profile.uuid
    }

    /// Sets a channel variable; a later value replaces an earlier one.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    /// Takes a channel variable away.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| *known != name);
    }

    /// Every channel variable, in the order they were first set.
    pub fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }

    /// Notes that the dialplan runs `name`.
    pub fn run(&mut self, name: &'static str, data: impl Into<String>) {
        let app_data = data.into();
        self.set("current_application_data", app_data.clone());
        self.set("current_application", name);
        self.apps.push(App { app_name: name, app_data, app_stamp: clock::now().to_string() });
    }

    /// Ends the leg now, unless it has ended.
    pub fn hang_up(&mut self, cause: Cause, disposition: &'static str) {
        if self.times.hungup.is_none() {
            self.times.hungup = Some(clock::now());
            self.cause = cause;
            self.set("sip_hangup_disposition", disposition);
        }
    }
}
