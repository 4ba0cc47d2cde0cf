//! `env`: how the lab is reached, from the cluster's own files on the first node.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail};
use host::files;
use phones::{Env, Lab};
use spec::{Cluster, Secrets};

use crate::LabName;
use crate::install::ETC;
use crate::net::{CLIENTS, Host, NODES, Net, VIP};
use crate::places::{self, Places};
use crate::state::State;

/// Reads cluster.yaml and secrets.yaml where the first node has them.
pub fn of(lab: &LabName, state: &State, places: &Places) -> Result<Env> {
    let root = places.node(NODES[0]).root();
    let etc = root.join(ETC.trim_start_matches('/'));
    let file = etc.join("cluster.yaml");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let cluster = Cluster::parse(&file.display().to_string(), &text)?;
    let secrets = Secrets::load(&etc.join("secrets.yaml"), &cluster)?;
    // As seen from the host, which sees the clients' files too: they have no root of their own.
    let spool = root.join("var/spool/freeswitch/cdr");
    let mut env = Env::of(&cluster, &secrets, &state.media, &spool);
    let ports = &cluster.ports;
    let on_loopback = |text: &str| text.replace("127.0.0.1", VIP);
    env.api = format!("http://127.0.0.1:{}", state.port);
    env.fs_url = on_loopback(&env.fs_url);
    env.sip = format!("{VIP}:{}", ports.sip);
    env.pg = on_loopback(&env.pg);
    env.redis = on_loopback(&env.redis);
    let address = |name: &str| Host::named(name).and_then(|host| host.address(Net::Service));
    env.lab = Some(Lab {
        vip: VIP.into(),
        n1: address(NODES[0]).unwrap_or_default(),
        n2: address(NODES[1]).unwrap_or_default(),
        client_netns: lab.of_host(CLIENTS),
    });
    Ok(env)
}

/// `.tandem` points at the lab's folder.
///
/// # Errors
/// Something else is there.
pub fn link(places: &Places, link_at: &Path) -> Result<()> {
    match fs::read_link(link_at) {
        Ok(old) if old == places.top => return Ok(()),
        // Another lab's, or one that is gone.
        Ok(old) if old.starts_with(places::STATE) => fs::remove_file(link_at)?,
        Ok(old) if !old.exists() => fs::remove_file(link_at)?,
        Ok(old) => bail!(
            "{} points at {}, a dev node's; the lab wants that name: stop the node with 'tandem dev down --purge \
             --dir {0}', or name another with TANDEM_DIR",
            link_at.display(),
            old.display()
        ),
        Err(_) if link_at.exists() => bail!(
            "{} is there and is not a lab's; remove it if it is of no use ('tandem dev down --purge --dir {0}' when it \
             is a dev node's), or name another with TANDEM_DIR",
            link_at.display()
        ),
        Err(_) => {}
    }
    symlink(&places.top, link_at).with_context(|| format!("making the link {}", link_at.display()))
}

/// Writes `env`, readable by root only.
pub fn write(env: &Env, places: &Places) -> Result<()> {
    files::write(&places.env(), 0o600, None, env.to_shell().as_bytes()).context("writing env")
}
