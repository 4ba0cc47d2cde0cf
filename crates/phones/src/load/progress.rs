//! How it goes: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use super::Options;
use super::stat::Stat;

/// Between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(5);

pub struct Progress {
    terminal: bool,
    ramp: Duration,
    call: Duration,
    calls: u32,
    said: Option<Duration>,
}

impl Progress {
    pub fn new(options: &Options) -> Self {
        Self {
            terminal: stderr().is_terminal(),
            ramp: options.ramp(),
            call: options.call(),
            calls: options.calls,
            said: None,
        }
    }

    pub fn show(&mut self, time: Duration, stat: Stat) {
        let phase = if time < self.ramp {
            "ramp up"
        } else if time < self.call {
            "hold"
        } else {
            "ramp down"
        };
        let line = format!(
            "{:>4} s  {phase:<9}  open {:>4} of {}  tried {:>4}  failed {}  sent again {}",
            time.as_secs(),
            stat.open,
            self.calls,
            stat.created,
            stat.failed,
            stat.repeats
        );
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K{line}");
        } else if self.said.is_none_or(|said| time >= said + QUIET) {
            self.said = Some(time);
            eprintln!("{line}");
        }
    }

    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
