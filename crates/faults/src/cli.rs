//! `tandem lab demo`, `faults` and `chaos`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use host::say;
use lab::LabName;

use crate::act::Act;
use crate::cases::{CASES, Case, named};
use crate::chaos::{FAULTS_MAX, draw};
use crate::demo;
use crate::floor::Floor;
use crate::interrupt;
use crate::pair::Pair;
use crate::report::{self, Setting};
use crate::run_case::{self, Ran, WHOLE};
use crate::{seed_literal, written};

const REPEATS_MAX: u32 = 1_000;
const CALLS_MAX: i64 = 800;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Calls run and the active node is killed; then the standby. What stops, what moves, what is lost (nothing).
    Demo {
        /// Between phones, at once.
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=CALLS_MAX))]
        calls: u32,
    },
    /// Every fault of the table, judged; fails if anything acknowledged is lost or twice, or two nodes acknowledged.
    Faults {
        /// One of them; may be repeated.
        #[arg(long, value_name = "NAME")]
        case: Vec<String>,
        /// Each so many times.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(REPEATS_MAX)))]
        repeat: u32,
        /// The subset of the tests.
        #[arg(long, conflicts_with = "case")]
        quick: bool,
        /// Name them and end.
        #[arg(long)]
        list: bool,
        /// The file that is written anew.
        #[arg(long, value_name = "FILE.md")]
        report: Option<PathBuf>,
        /// Every sample of the last case, a line each.
        #[arg(long, value_name = "FILE")]
        samples: Option<PathBuf>,
        #[command(flatten)]
        arbiter: Arbiter,
    },
    /// Random faults in a row.
    Chaos {
        /// How many.
        #[arg(short, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(FAULTS_MAX)))]
        n: u32,
        /// The same seed is the same faults; else one is made, and told.
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        arbiter: Arbiter,
    },
}

#[derive(Debug, Args)]
pub struct Arbiter {
    /// Refuse a lab that has another.
    #[arg(long = "arbiter", value_name = "none|fence|etcd")]
    wanted: Option<String>,
}

impl Arbiter {
    fn check(&self, pair: &Pair) -> Result<()> {
        match &self.wanted {
            Some(wanted) if *wanted != pair.settings.arbiter => bail!(
                "the lab's arbiter is {}, not {wanted}; make another: make down, make up ARBITER={wanted}",
                pair.settings.arbiter
            ),
            _ => Ok(()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// There is no lab, or the pair did not keep what it promises.
pub fn run(lab: &LabName, command: Command) -> Result<()> {
    if let Command::Faults { list: true, .. } = command {
        CASES.iter().for_each(|case| say!("{:44} {}", case.name, case.about));
        return Ok(());
    }
    interrupt::catch()?;
    let pair = Pair::of(lab)?;
    match command {
        Command::Demo { calls } => demo::run(&pair, calls),
        Command::Faults { case, repeat, quick, list: _, report, samples, arbiter } => {
            arbiter.check(&pair)?;
            let mut cases = chosen(&case, quick)?;
            cases.retain(|case| case.fits(&pair.settings.arbiter));
            let cases: Vec<&Case> = (0..repeat).flat_map(|_| cases.iter().copied()).collect();
            all(&pair, &cases, "tandem lab faults", &Files { report, samples })
        }
        Command::Chaos { n, seed, arbiter } => {
            arbiter.check(&pair)?;
            let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 % 1_000_000);
            say!("{n} faults, seed {seed}, arbiter {}", pair.settings.arbiter);
            all(
                &pair,
                &draw(seed, n, &pair.settings.arbiter),
                &format!("tandem lab chaos -n {n} --seed {seed}"),
                &Files::default(),
            )
        }
    }
}

fn chosen(names: &[String], quick: bool) -> Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(CASES.iter().filter(|case| case.quick || !quick).collect());
    }
    let find = |name: &String| {
        named(name)
            .with_context(|| format!("there is no case '{name}'; 'tandem lab faults --list' names them"))
    };
    names.iter().map(find).collect()
}

/// What is written besides.
#[derive(Default)]
struct Files {
    report: Option<PathBuf>,
    samples: Option<PathBuf>,
}

/// Runs them in a row, goes on after one that broke a promise, and ends at one after which the pair is not whole.
fn all(pair: &Pair, cases: &[&'static Case], command: &str, files: &Files) -> Result<()> {
    // What an interrupted run left broken would be blamed on the first case.
    Act::new(pair, 0, 0).mend()?;
    seed_literal::leave(pair)?;
    let whole = pair.wait_whole(WHOLE)?;
    let floor = match Floor::measure(pair, 1 - whole.active) {
        Ok(floor) => Some(floor),
        Err(error) => {
            say!("the floor could not be measured: {error:#}");
            None
        }
    };
    if let Some(floor) = &floor {
        say!("floor of a take-over: {floor}");
    }
    let (mut ran, mut failed): (Vec<Ran>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        say!("{:>4}/{} {}: {}", number + 1, cases.len(), case.name, case.about);
        let repeat = ran.iter().filter(|ran| ran.case == case.name).count() as u64;
        match run_case::run(pair, case, repeat, files.samples.as_deref(), &mut |words| {
            say!("          {words}")
        }) {
            Ok(done) => {
                say!("     {}", report::line(&done));
                done.broken.iter().for_each(|what| say!("            {what}"));
                ran.push(done);
            }
            // Nobody's promise: what was seen until now is told.
            Err(_) if interrupt::came() => break,
            Err(error) => {
                say!("     BROKEN {}: {error:#}", case.name);
                failed.push((case.name.to_owned(), format!("{error:#}")));
                Act::new(pair, 0, 0).mend().ok();
                if pair.wait_whole(WHOLE).is_err() {
                    say!("the pair is not whole; it is left as it is, to be looked at");
                    break;
                }
            }
        }
    }
    if let Some(whole) = pair.wait_whole(WHOLE).ok().filter(|_| !interrupt::came()) {
        written::clear(pair, whole.active)?;
    }
    say!("{} of {} faults: {} broke a promise", ran.len() + failed.len(), cases.len(), {
        ran.iter().filter(|ran| !ran.broken.is_empty()).count() + failed.len()
    });
    say!("{}", report::sums(&ran));
    if let Some(line) = report::take_overs(&ran, floor.as_ref()) {
        say!("{line}");
    }
    if let Some(file) = &files.report {
        let state = lab::state(&pair.lab)?;
        let of = Setting {
            command: command.to_owned(),
            release: state.release.as_str().to_owned(),
            media: if state.media == "double" { "the media double".into() } else { "FreeSWITCH".into() },
            arbiter: pair.settings.arbiter.clone(),
            floor,
        };
        report::write(file, &of, &ran, &failed)?;
        say!("written: {}", file.display());
    }
    let broke = ran.iter().filter(|ran| !ran.broken.is_empty()).map(|ran| ran.case);
    let broke: Vec<&str> = broke.chain(failed.iter().map(|(case, _)| case.as_str())).collect();
    match broke.as_slice() {
        [] => Ok(()),
        names => bail!("not as promised: {}", names.join(", ")),
    }
}
