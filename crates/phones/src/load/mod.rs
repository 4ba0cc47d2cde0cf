//! `tandem load`: hundreds of calls at once through a whole platform, each accounted for.
//!
//! In: the env file of a dev node or a lab. Out: what the calls met and what the platform used, as text, JSON, or a section
//! of a file. The phones are SIPp's; they register, call each other, the queue and the menu, and send no audio.
//!
//! Architecture invariants: traffic goes to this machine or to a lab, never elsewhere (`place`); nothing outlives the
//! command (`sipp`); what is counted is counted a call at a time, by its Call-ID (`messages`, `accounting`).

mod accounting;
mod interrupt;
mod machine;
mod media;
mod messages;
mod mix;
mod outcome;
mod percentiles;
mod place;
mod platform;
mod progress;
mod report;
mod scenarios;
mod sipp;
mod stage;
mod stat;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

pub use mix::Mix;
pub use platform::Platform;

use crate::Env;
use host::say;
use interrupt::Interrupt;

/// Calls at once.
pub const CALLS_MAX: u32 = 1_000;
/// Calls a second.
pub const CPS_MAX: u32 = 200;
/// Seconds at full load.
pub const HOLD_S_MAX: u32 = 600;
/// A call may not last longer: FreeSWITCH asks by re-INVITE whether it lives, which SIPp does not understand.
const CALL_MAX: Duration = Duration::from_secs(840);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Calls at once.
    pub calls: u32,
    /// New calls a second until there are so many.
    pub cps: u32,
    /// Seconds that all of them last together.
    pub hold_s: u32,
    pub mix: Mix,
    /// JSON instead of text.
    pub json: bool,
    /// File in which the section of this load is written anew.
    pub report: Option<PathBuf>,
    /// Whose processor time and memory is told.
    pub platform: Platform,
}

impl Options {
    /// Until all calls are made.
    fn ramp(&self) -> Duration {
        Duration::from_millis(u64::from(self.calls) * 1_000 / u64::from(self.cps.max(1)))
    }

    /// How long each call lasts, so that the first still does when the last has for `hold_s`.
    fn call(&self) -> Duration {
        self.ramp() + Duration::from_secs(u64::from(self.hold_s))
    }

    fn check(&self) -> Result<()> {
        let within = |name: &str, value: u32, most: u32| match value {
            0 => bail!("--{name} 0: at least 1"),
            value if value > most => bail!("--{name} {value}: at most {most}"),
            _ => Ok(()),
        };
        within("calls", self.calls, CALLS_MAX)?;
        within("cps", self.cps, CPS_MAX)?;
        within("hold", self.hold_s, HOLD_S_MAX)?;
        if self.call() > CALL_MAX {
            bail!(
                "each call would last {} s (ramp and hold); at most {}: raise --cps or lower --hold",
                self.call().as_secs(),
                CALL_MAX.as_secs()
            );
        }
        Ok(())
    }
}

/// Puts the load on and tells of it on standard output; progress goes to standard error.
///
/// # Errors
/// It could not be put on, was interrupted, or a call failed or is not accounted for. The report is told before that.
pub fn run(env: &Env, options: &Options) -> Result<()> {
    options.check()?;
    place::target(&env.sip)?;
    if let Some(lab) = &env.lab
        && !place::is_in_namespace(&lab.client_netns)?
    {
        return place::enter_namespace(&lab.client_netns);
    }
    let interrupt = Interrupt::catch()?;
    let platform = match &env.lab {
        None => options.platform.clone(),
        Some(lab) => {
            Platform::Namespaces(lab.nodes().map(|(n, netns)| (n, place::namespace_file(&netns))).collect())
        }
    };
    let ran = stage::run(env, options, platform, &interrupt)?;
    let outcome = outcome::Outcome::of(env, options, ran, &interrupt)?;
    if options.json {
        say!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        say!("{}", report::section(&outcome));
    }
    if let Some(file) = &options.report {
        report::write(file, &outcome)?;
        eprintln!("written: {}", file.display());
    }
    outcome.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told() {
        let options = |calls, cps, hold_s| Options {
            calls,
            cps,
            hold_s,
            mix: Mix::default(),
            json: false,
            report: None,
            platform: Platform::Elsewhere,
        };
        assert!(options(600, 20, 60).check().is_ok());
        for (bad, why) in [
            (options(0, 20, 60), "--calls 0"),
            (options(2_000, 20, 60), "at most 1000"),
            (options(10, 0, 60), "--cps 0"),
            (options(10, 10, 0), "--hold 0"),
            (options(1_000, 1, 60), "raise --cps"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(options(600, 20, 60).call(), Duration::from_secs(90));
    }
}
