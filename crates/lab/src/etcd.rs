//! A real etcd of three members: Debian's unit on n1 and n2, a process in the namespace of `w`, of the same Debian.
//!
//! Members and clients meet on the service network: `w` would not be on the peer link of a real site, and a node that is cut
//! from the service network shall not win.

use std::fs::{self, File};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::arbiter::address;
use crate::places::Places;
use crate::process::{MARK, Process, marked};
use crate::{LabName, node, run};

/// The host that is no node.
pub const WITNESS: &str = "w";
const MEMBERS: [&str; 3] = ["n1", "n2", WITNESS];
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// Between members on one machine. etcd's own are 100 and 1,000: a take-over would wait that much longer for a new leader.
const HEARTBEAT_MS: u16 = 50;
const ELECTION_MS: u16 = 500;
/// Until all three are one.
const FORM: Duration = Duration::from_secs(60);

/// Debian's unit waits for a majority before the system counts as booted, and stays down when it fails twice.
const DROP_IN: &str = "/etc/systemd/system/etcd.service.d/tandem-lab.conf";
const DROP_IN_TEXT: &str =
    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nRestart=always\nRestartSec=1\n";

/// A system of the node's image with the witness' data in it, in a mount namespace that ends with the process.
const IN_IMAGE: &str = r#"lower=$1 root=$2 data=$3; shift 3
mount -t overlay overlay -o "ro,lowerdir=$lower" "$root"
mount --bind "$data" "$root/mnt"
mount -t devtmpfs dev "$root/dev" 2>/dev/null || mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env "$@" /usr/bin/etcd"#;

/// Where clients ask, a URL a member.
pub fn endpoints() -> Vec<String> {
    MEMBERS.iter().filter_map(|name| Some(format!("http://{}:{CLIENT_PORT}", address(name).ok()?))).collect()
}

/// `ETCD_…=` of a member.
fn settings(lab: &LabName, name: &str, data: &str) -> Result<Vec<String>> {
    let url = |name: &str, port: u16| address(name).map(|a| format!("http://{a}:{port}"));
    let all: Result<Vec<String>> =
        MEMBERS.iter().map(|m| Ok(format!("{m}={}", url(m, PEER_PORT)?))).collect();
    let (client, peer) = (url(name, CLIENT_PORT)?, url(name, PEER_PORT)?);
    Ok(vec![
        format!("ETCD_NAME={name}"),
        format!("ETCD_DATA_DIR={data}"),
        format!("ETCD_LISTEN_CLIENT_URLS={client},http://127.0.0.1:{CLIENT_PORT}"),
        format!("ETCD_ADVERTISE_CLIENT_URLS={client}"),
        format!("ETCD_LISTEN_PEER_URLS={peer}"),
        format!("ETCD_INITIAL_ADVERTISE_PEER_URLS={peer}"),
        format!("ETCD_INITIAL_CLUSTER={}", all?.join(",")),
        // Another lab's members are told apart.
        format!("ETCD_INITIAL_CLUSTER_TOKEN=tandem-{lab}"),
        format!("ETCD_HEARTBEAT_INTERVAL={HEARTBEAT_MS}"),
        format!("ETCD_ELECTION_TIMEOUT={ELECTION_MS}"),
    ])
}

/// Configures and starts Debian's etcd on a node; from then on it starts at boot.
pub fn start_on(lab: &LabName, name: &str) -> Result<()> {
    let text = settings(lab, name, "/var/lib/etcd/lab")?.join("\n");
    node::write_file(lab, name, "/etc/default/etcd", "0644", &format!("# tandem lab\n{text}\n"))?;
    node::write_file(lab, name, DROP_IN, "0644", DROP_IN_TEXT)?;
    node::run(lab, name, &["systemctl", "daemon-reload"])?;
    node::run(lab, name, &["systemctl", "enable", "--quiet", "--now", "etcd.service"]).map(drop)
}

/// Starts the witness on the data it has, if any.
pub fn start_witness(lab: &LabName, lower: &str, places: &Places) -> Result<Process> {
    let top = places.node(WITNESS).top;
    let (root, data) = (top.join("root"), top.join("data"));
    for folder in [&root, &data] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let log = File::options().create(true).append(true).open(places.log(WITNESS))?;
    let mut command = run::command("setsid");
    command.args(["ip", "netns", "exec", &lab.of_host(WITNESS)]);
    command.args(["unshare", "--mount", "--propagation=private", "sh", "-ec", IN_IMAGE, WITNESS, lower]);
    command.args([&root, &data]).args(settings(lab, WITNESS, "/mnt/lab")?);
    command.env(MARK, lab.as_str()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().context("starting the witness' etcd")?;
    let pid = i32::try_from(child.id()).context("a strange process number")?;
    Process::of(pid).context("the witness' etcd ended at once")
}

/// The witness' process, if it lives.
pub fn witness(lab: &LabName) -> Option<Process> {
    let mark = format!("ETCD_NAME={WITNESS}");
    marked(lab).into_iter().find(|p| {
        let environ = fs::read(format!("/proc/{}/environ", p.pid)).unwrap_or_default();
        environ.split(|b| *b == 0).any(|line| line == mark.as_bytes())
    })
}

/// Waits until each member says that the three are one.
pub fn wait(lab: &LabName) -> Result<()> {
    let deadline = Instant::now() + FORM;
    for url in endpoints() {
        let health = format!("{url}/health");
        let ask = ["ip", "netns", "exec", &lab.of_host(WITNESS), "curl", "-sf", "-m", "2", &health];
        while !run::output(ask[0], ask[1..].iter().copied()).is_ok_and(|said| said.contains("\"true\"")) {
            if Instant::now() > deadline {
                bail!("the member of etcd at {url} is not healthy after {} s", FORM.as_secs());
            }
            sleep(Duration::from_millis(200));
        }
    }
    Ok(())
}
