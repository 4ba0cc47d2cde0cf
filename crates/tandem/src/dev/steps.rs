//! The plan of a dev node: which program, with which arguments, in which order.

use std::path::Path;

use render::Layout;
use spec::{Cluster, Secrets};

use super::plan::{Keeping, Kind, Probe, Step, StopSignal};
use host::programs::{Freeswitch, Programs};

/// Ours, all of one workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The step that stands in where there is no FreeSWITCH.
pub const MEDIA_DOUBLE: &str = "media-double";

/// Everything a step is made of.
pub struct Parts<'a> {
    pub cluster: &'a Cluster,
    pub secrets: &'a Secrets,
    pub layout: &'a Layout,
    pub programs: &'a Programs,
    /// Folder of our own programs.
    pub bin: &'a Path,
    /// The file without which the media double does not start.
    pub marker: &'a Path,
    /// Whether there is a database already.
    pub has_database: bool,
}

/// Every step, in order: data first, phones last, so that nothing answers before it can.
pub fn all(parts: &Parts<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if !parts.has_database {
        steps.push(initdb(parts));
    }
    steps.extend([
        postgresql(parts),
        bootstrap(parts),
        redis(parts),
        voipadmind(parts),
        media(parts),
        kamailio(parts),
    ]);
    steps
}

fn step(name: &str, version: &str, ports: String, kind: Kind, argv: Vec<String>) -> Step {
    Step { name: name.into(), argv, kind, version: version.into(), ports }
}

fn engine(ready: Probe, stop: StopSignal, stop_timeout_s: u64) -> Kind {
    Kind::Engine(Keeping { ready, stop, stop_timeout_s })
}

fn argv<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    std::iter::once(text(program)).chain(arguments.into_iter().map(str::to_owned)).collect()
}

/// Paths here are ours or plain: `Place` refuses others.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Beside its place, then moved: a database that was half made never stands where a whole one is expected.
fn initdb(p: &Parts<'_>) -> Step {
    const SCRIPT: &str = r#"set -e; data=$1; user=$2; initdb=$3; rm -rf "$data.new"
"$initdb" -D "$data.new" --username="$user" --auth-local=peer --auth-host=scram-sha-256 \
  --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-instructions
mv "$data.new" "$data""#;
    let (data, initdb) = (&p.layout.paths.postgresql_data, p.programs.postgresql_bin.join("initdb"));
    let user = &p.layout.users.postgresql;
    let argv = argv(Path::new("/bin/sh"), ["-c", SCRIPT, "initdb", &text(data), user, &text(&initdb)]);
    step("initdb", &p.programs.postgres.version, String::new(), Kind::Task, argv)
}

fn postgresql(p: &Parts<'_>) -> Step {
    let port = p.cluster.ports.postgresql;
    let config = format!("config_file={}", text(&p.layout.paths.postgresql_etc.join("postgresql.conf")));
    let data = text(&p.layout.paths.postgresql_data);
    let ready = Probe::Postgresql {
        pg_isready: p.programs.postgresql_bin.join("pg_isready"),
        socket: p.layout.paths.postgresql_socket.clone(),
        port,
    };
    let program = &p.programs.postgres;
    let argv = argv(&program.path, ["-D", &data, "-c", &config]);
    step("postgresql", &program.version, format!("{port}/tcp"), engine(ready, StopSignal::Int, 30), argv)
}

/// Roles, database, migrations, seed: each time, since a new build may bring new migrations.
fn bootstrap(p: &Parts<'_>) -> Step {
    let config = text(&p.layout.paths.voip_admin_etc.join("bootstrap.yaml"));
    let argv = argv(&p.bin.join("voipadmind"), ["bootstrap", "--config", &config]);
    step("bootstrap", VERSION, String::new(), Kind::Task, argv)
}

fn redis(p: &Parts<'_>) -> Step {
    let port = p.cluster.ports.redis;
    let ready = Probe::Redis { port, password: p.secrets.redis.clone() };
    let program = &p.programs.redis;
    let argv = argv(&program.path, [text(&p.layout.paths.redis_etc.join("redis.conf")).as_str()]);
    step("redis", &program.version, format!("{port}/tcp"), engine(ready, StopSignal::Term, 15), argv)
}

fn voipadmind(p: &Parts<'_>) -> Step {
    let port = p.cluster.ports.api;
    let ready = Probe::Http { port, path: "/health".into() };
    let config = text(&p.layout.paths.voip_admin_etc.join("config.yaml"));
    let argv = argv(&p.bin.join("voipadmind"), ["--config", &config]);
    step("voipadmind", VERSION, format!("{port}/tcp"), engine(ready, StopSignal::Term, 30), argv)
}

fn media(p: &Parts<'_>) -> Step {
    let ports = &p.cluster.ports;
    let ready = Probe::Sip { port: ports.fs_sip };
    let kind = engine(ready, StopSignal::Term, 20);
    match &p.programs.freeswitch {
        Freeswitch::Found(program) => {
            let shown = format!(
                "{0}/udp+tcp {1}/udp+tcp {2}/tcp {3}-{4}/udp",
                ports.fs_sip, ports.fs_direct, ports.esl, ports.rtp_min, ports.rtp_max
            );
            step("freeswitch", &program.version, shown, kind, freeswitch(p, &program.path))
        }
        Freeswitch::Absent(_) => {
            let shown = format!("{}/udp {}-{}/udp", ports.fs_sip, ports.rtp_min, ports.rtp_max);
            let config = text(&p.layout.paths.media_double_etc.join("config.yaml"));
            let argv = argv(&p.bin.join(MEDIA_DOUBLE), ["--marker", &text(p.marker), "--config", &config]);
            step(MEDIA_DOUBLE, VERSION, shown, kind, argv)
        }
    }
}

/// Every folder is named: what is left out would be looked for in the installation's own.
fn freeswitch(p: &Parts<'_>, program: &Path) -> Vec<String> {
    let paths = &p.layout.paths;
    let folders = [
        ("-conf", paths.freeswitch_etc.clone()),
        ("-mod", paths.freeswitch_mod.clone()),
        ("-log", paths.log.join("freeswitch")),
        ("-run", paths.run.join("freeswitch")),
        ("-db", paths.freeswitch_db.clone()),
        ("-temp", paths.tmp.clone()),
        ("-cache", paths.tmp.clone()),
        ("-storage", paths.storage.join("voicemail")),
        ("-recordings", paths.storage.join("recordings")),
        ("-sounds", paths.freeswitch_sounds.clone()),
        ("-scripts", paths.freeswitch_etc.join("scripts")),
        ("-grammar", paths.freeswitch_etc.join("grammar")),
        ("-htdocs", paths.freeswitch_etc.join("htdocs")),
        // It makes a key at its first start, in seconds, and keeps it here.
        ("-certs", paths.freeswitch_db.clone()),
    ];
    // -nf: stay this process; -nonat: no probing of the network for a router; -np: no real-time priority; -nocal: no
    // calibrating of the clock, which takes seconds on a busy machine.
    let flags = ["-nf", "-nc", "-nonat", "-np", "-nocal"];
    let folders = folders.into_iter().flat_map(|(flag, folder)| [flag.to_owned(), text(&folder)]);
    std::iter::once(text(program)).chain(flags.map(str::to_owned)).chain(folders).collect()
}

fn kamailio(p: &Parts<'_>) -> Step {
    let ports = &p.cluster.ports;
    let (config, run) =
        (text(&p.layout.paths.kamailio_etc.join("kamailio.cfg")), text(&p.layout.paths.kamailio_run));
    let program = &p.programs.kamailio;
    // -DD: the main process stays in the foreground, its workers are forked; -E: log to stderr; -Y: runtime folder.
    let argv =
        argv(&program.path, ["-DD", "-E", "-f", &config, "-Y", &run, "-w", &run, "-m", "64", "-M", "8"]);
    let shown = format!("{}/udp+tcp {}/tcp", ports.sip, ports.kamailio_rpc);
    let ready = Probe::Sip { port: ports.sip };
    step("kamailio", &program.version, shown, engine(ready, StopSignal::Term, 15), argv)
}
