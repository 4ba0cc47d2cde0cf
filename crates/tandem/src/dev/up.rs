//! `tandem dev up`: from nothing, or from anything, to a running node.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use render::Layout;
use spec::{CLUSTER_FILE, Cluster, Ports, Secrets};

use super::plan::Plan;
use super::status::{self, Progress};
use super::steps::{self, MEDIA_DOUBLE, Parts};
use super::supervise::{self, Phase, STATUS_FILE, Snapshot};
use super::{Place, down, ports};
use host::files;
use host::programs::{self, Freeswitch, Programs};
use host::say;
use phones::Env;

use crate::{init, render_command};

/// Built beside this one.
const OUR_PROGRAMS: [&str; 3] = ["tandem", "voipadmind", MEDIA_DOUBLE];
/// What the media double looks for before it starts.
const MARKER: &str = "tandem dev\nThis folder holds a dev node: the media double may run here.\n";
/// initdb, bootstrap and five engines on a small machine.
const UP_TIMEOUT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);
/// Shown of a supervisor that did not get as far as its log.
const SAID_BYTES_MAX: u64 = 4096;

/// Starts the node in `dir`, or says that it runs.
pub fn up(dir: &Path, port_offset: u16) -> Result<()> {
    let began = Instant::now();
    let place = Place::create(dir)?;
    let claim = place.claim()?;
    if init::write(&place, port_offset)? {
        say!("wrote {} and its secrets", dir.join(CLUSTER_FILE).display());
    }
    let (cluster, secrets) = render_command::load(&place.root)?;
    if port_offset != 0 && cluster.ports != Ports::dev(port_offset) {
        say!("note: the ports are those of {CLUSTER_FILE}; an offset counts only when it is written");
    }
    down::wait_for_the_end_of_a_stop(&place)?;
    let runs_already = supervise::is_running(&place.run())?;
    let child = if runs_already { None } else { Some(start(&place, &cluster, &secrets)?) };
    drop(claim);
    wait(&place, child)?;
    if runs_already {
        say!("the node runs already");
    } else {
        say!("ready in {:.1} s", began.elapsed().as_secs_f64());
    }
    status::print_summary(&place)
}

/// Returns when the supervisor shows itself: whoever looks from then on sees a node that runs.
fn start(place: &Place, cluster: &Cluster, secrets: &Secrets) -> Result<Child> {
    let node = cluster.nodes.first().context("cluster.yaml lists no node")?;
    down::end_leftovers(place);
    let data = place.root.join("data/postgresql");
    let data_major = files::read(&data.join("PG_VERSION"))?.and_then(|text| text.trim().parse().ok());
    let programs = programs::find(&cluster.paths, data_major, &place.user)?;
    if let Freeswitch::Absent(why) = &programs.freeswitch {
        say!("{why}: the media double stands in (a test program, not FreeSWITCH)");
    }
    ports::check_free(cluster, node.address)?;
    let mut found = programs::found();
    found.postgresql_bin.clone_from(&programs.postgresql_bin);
    let layout = Layout::of(cluster, &place.root, &place.user.name, &found);
    make_folders(place, &layout)?;
    copy_programs(place)?;

    let rendered = render::render(cluster, secrets, &node.name, &layout)?;
    render_command::write(&rendered, &place.root.join("etc"), place.owner())?;
    let bin = place.root.join("bin");
    let marker = place.root.join("marker");
    files::write(&marker, 0o644, None, MARKER.as_bytes())?;
    let parts = Parts {
        cluster,
        secrets,
        layout: &layout,
        programs: &programs,
        bin: &bin,
        marker: &marker,
        has_database: data_major.is_some(),
    };
    let plan = Plan {
        steps: steps::all(&parts),
        run: layout.paths.run.clone(),
        log: layout.paths.log.clone(),
        tandem: bin.join("tandem"),
    };
    let plan_file = place.root.join("etc/plan.json");
    files::write(&plan_file, 0o600, place.owner(), serde_json::to_string_pretty(&plan)?.as_bytes())?;
    let env = Env::of(cluster, secrets, media(&programs), &layout.paths.cdr_spool);
    files::write(&place.env_file(), 0o600, None, env.to_shell().as_bytes())?;
    let mut child = spawn_supervisor(place, &plan, &plan_file)?;
    while status::read(place).is_none() {
        if let Some(status) = child.try_wait()? {
            let mut said = String::new();
            if let Some(stderr) = child.stderr.take() {
                stderr.take(SAID_BYTES_MAX).read_to_string(&mut said)?;
            }
            bail!("the supervisor ended ({status}) {}", said.trim());
        }
        std::thread::sleep(POLL);
    }
    Ok(child)
}

/// The value of TANDEM_MEDIA.
fn media(programs: &Programs) -> &'static str {
    match programs.freeswitch {
        Freeswitch::Found(_) => "freeswitch",
        Freeswitch::Absent(_) => "double",
    }
}

/// Configuration and programs belong to who runs `up`; only what the services write is theirs.
fn make_folders(place: &Place, layout: &Layout) -> Result<()> {
    let paths = &layout.paths;
    let make = |path: &Path, mode, owner| {
        files::folder(path, mode, owner).with_context(|| format!("making {}", path.display()))
    };
    for path in ["etc", "bin"] {
        make(&place.root.join(path), 0o755, None)?;
    }
    let data = place.root.join("data");
    let spool = place.root.join("spool");
    let services = [
        &paths.run,
        &paths.postgresql_socket,
        &paths.kamailio_run,
        &paths.run.join("freeswitch"),
        &paths.log,
        &paths.log.join("freeswitch"),
        &data,
        &paths.redis_data,
        &paths.freeswitch_db,
        &paths.journal,
        &spool,
        &paths.cdr_spool,
        &paths.kamailio_spool,
        &paths.storage,
        &paths.storage.join("voicemail"),
        &paths.storage.join("recordings"),
        &paths.tmp,
    ];
    services.into_iter().try_for_each(|path| make(path, 0o700, place.owner()))
}

/// The build's folder may be out of the service user's reach, and a new build must not change what runs.
fn copy_programs(place: &Place) -> Result<()> {
    let ours = std::env::current_exe().context("finding this program")?;
    let from = ours.parent().context("finding this program's folder")?;
    for name in OUR_PROGRAMS {
        let source = from.join(name);
        let contents = fs::read(&source).with_context(|| {
            format!("{} is not built; type: cargo build --workspace --bins", source.display())
        })?;
        let target = place.root.join("bin").join(name);
        if fs::read(&target).is_ok_and(|old| old == contents) {
            continue;
        }
        files::write(&target, 0o755, None, &contents).with_context(|| format!("copying {name}"))?;
    }
    Ok(())
}

fn spawn_supervisor(place: &Place, plan: &Plan, plan_file: &Path) -> Result<Child> {
    match fs::remove_file(plan.run.join(STATUS_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("removing the old status");
        }
        _ => {}
    }
    let mut command = Command::new(&plan.tandem);
    command
        .args(["dev", "supervise", "--plan"])
        .arg(plan_file)
        .current_dir(&plan.run)
        .env_clear()
        .envs(std::env::vars_os().filter(|(key, _)| key == "PATH" || key == "LANG" || key == "TZ"))
        .env("HOME", &place.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Until it has opened its log.
        .stderr(Stdio::piped());
    if Uid::effective().is_root() {
        command.uid(place.user.uid.as_raw()).gid(place.user.gid.as_raw());
    }
    command.spawn().context("starting the supervisor")
}

/// Shows the steps until the node is ready; fails with the log of what failed.
fn wait(place: &Place, mut child: Option<Child>) -> Result<()> {
    let until = Instant::now() + UP_TIMEOUT;
    let mut progress = Progress::new();
    while Instant::now() < until {
        // Looked at before its status: what it wrote last is then read too.
        let ended = match &mut child {
            Some(child) => child.try_wait()?.is_some(),
            None => !supervise::is_running(&place.run())?,
        };
        let snapshot = status::read(place).context("the supervisor's status is unreadable")?;
        progress.show(&snapshot);
        match snapshot.phase {
            Phase::Ready => return Ok(()),
            Phase::Failed => bail!("{}", failure(place, &snapshot)),
            _ if ended => bail!("the node was stopped while it started; see 'make logs ENGINE=supervisor'"),
            Phase::Starting | Phase::Stopping | Phase::Stopped => std::thread::sleep(POLL),
        }
    }
    bail!("not ready within {} s; see 'make logs'", UP_TIMEOUT.as_secs())
}

fn failure(place: &Place, snapshot: &Snapshot) -> String {
    let message = snapshot.message.as_deref().unwrap_or("the node failed to start");
    let failed = snapshot.steps.iter().find(|step| step.state == supervise::State::Failed);
    let Some(step) = failed else { return message.to_owned() };
    let log = place.root.join("log").join(format!("{}.log", step.name));
    format!("{message}\nthe end of {}:\n{}", log.display(), super::logs::tail(&log, 15))
}
