//! What must be so before anything is written. Each refusal names the cure.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use spec::Shape;

use crate::config::Config;
use crate::listeners::{self, Listener};
use crate::media;
use crate::places::Places;

/// Debian's releases this is built and tested for.
const RELEASES: [&str; 2] = ["12", "13"];
/// The one the packet filter's own rules let in.
const SSH_PORT: u16 = 22;
const DOUBLE_PACKAGE: &str = "tandem-media-double";

/// Root, and a system that is supported.
pub fn system(places: &Places) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!("this changes the system and needs root; type: sudo tandem …");
    }
    let text = fs::read_to_string(places.at("/etc/os-release")).context("reading /etc/os-release")?;
    supported(&text)
}

fn supported(os_release: &str) -> Result<()> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.map(|v| v.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let (id, version) = (value("ID"), value("VERSION_ID"));
    if id != "debian" || !RELEASES.contains(&version.as_str()) {
        let name = value("PRETTY_NAME");
        let name = if name.is_empty() { format!("{id} {version}") } else { name };
        bail!("{name} is not supported: install Debian 13 (12 works too), then this package, and try again");
    }
    Ok(())
}

/// A server's node may not hold the test program that stands in for FreeSWITCH.
pub fn no_double(config: &Config) -> Result<()> {
    if config.cluster.shape == Shape::Node && is_installed(DOUBLE_PACKAGE) {
        bail!(
            "the package {DOUBLE_PACKAGE} is a test program for labs, and this is a server (shape: node); type: apt purge \
             {DOUBLE_PACKAGE}"
        );
    }
    Ok(())
}

/// dpkg's word on a package.
pub fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    output.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).trim() == "installed")
}

/// FreeSWITCH is the operator's own package; without it there is no media.
pub fn media(config: &Config, places: &Places) -> Result<()> {
    let program = media::freeswitch(&config.layout);
    let double = media::is_double(&places.etc(), &config.layout) && is_installed(DOUBLE_PACKAGE);
    if program.exists() || double {
        return Ok(());
    }
    bail!(
        "FreeSWITCH is not installed ({} is not there): install your FreeSWITCH packages, or say where it is with \
         paths.freeswitch_prefix in cluster.yaml",
        program.display()
    );
}

fn listening() -> Result<Vec<Listener>> {
    let output =
        Command::new("ss").args(listeners::SS).output().context("running ss (Debian package 'iproute2')")?;
    Ok(listeners::read(&String::from_utf8_lossy(&output.stdout)))
}

/// The packet filter drops what it has no rule for, and whoever types this may have come by ssh.
pub fn ssh_stays_open(places: &Places) -> Result<()> {
    let folder = places.etc().join("nftables.d");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "nft"));
    let rules: String = files.filter_map(|path| fs::read_to_string(path).ok()).collect();
    let Some(port) = ssh_without_rule(&listening()?, &rules) else { return Ok(()) };
    bail!(
        "sshd listens on port {port}, and the packet filter lets only port {SSH_PORT} in: you would be locked out. Write \
         'tcp dport {port} accept' into {}, then try again",
        folder.join("ssh.nft").display()
    );
}

/// A port of sshd that can be reached from elsewhere now and could not be any more; none where one stays open.
fn ssh_without_rule(listeners: &[Listener], rules: &str) -> Option<u16> {
    let is_let_in = |port: u16| {
        let accepts = |line: &str| {
            let line = line.split('#').next().unwrap_or_default();
            line.contains("accept")
                && line.split_once("dport").is_some_and(|(_, ports)| {
                    ports.split(|c: char| !c.is_ascii_digit()).any(|word| word == port.to_string())
                })
        };
        port == SSH_PORT || rules.lines().any(accepts)
    };
    let reachable = |l: &&Listener| !l.address.starts_with("127.") && l.address != "::1";
    let ssh: Vec<u16> = listeners
        .iter()
        .filter(|l| l.program.as_deref() == Some("sshd"))
        .filter(reachable)
        .map(|l| l.port)
        .collect();
    if ssh.iter().any(|port| is_let_in(*port)) { None } else { ssh.first().copied() }
}

/// No port may be somebody else's. Ours are known by their unit.
pub fn ports(config: &Config, units: &[String]) -> Result<()> {
    let listeners = listening()?;
    let wanted: BTreeMap<u16, &str> = config
        .cluster
        .ports
        .named()
        .into_iter()
        .filter(|(key, _)| *key != "fs_direct")
        .map(|(k, p)| (p, k))
        .collect();
    for listener in &listeners {
        let Listener { protocol, port, program: Some(program), pid: Some(pid), .. } = listener else {
            continue;
        };
        let Some(key) = wanted.get(port) else { continue };
        if is_ours(*pid, units) {
            continue;
        }
        bail!(
            "port {port}/{protocol} (ports.{key}) is taken by {program} (pid {pid}); stop it, or choose another port in \
             cluster.yaml"
        );
    }
    Ok(())
}

/// Whether the process belongs to one of these units.
fn is_ours(pid: u32, units: &[String]) -> bool {
    let cgroup =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cgroup")).unwrap_or_default();
    units.iter().any(|unit| cgroup.trim_end().rsplit('/').any(|part| part == unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_12_and_13_are_supported() {
        let debian = |version: &str| {
            format!("PRETTY_NAME=\"Debian {version}\"\nID=debian\nVERSION_ID=\"{version}\"\n")
        };
        assert!(supported(&debian("12")).is_ok() && supported(&debian("13")).is_ok());
        for text in [debian("11"), "ID=ubuntu\nVERSION_ID=\"24.04\"\n".into(), String::new()] {
            let message = supported(&text).unwrap_err().to_string();
            assert!(message.contains("install Debian 13"), "{message}");
        }
    }

    #[test]
    fn who_came_by_ssh_on_another_port_is_not_locked_out() {
        let on = |address: &str, program: &str| {
            format!("tcp LISTEN 0 128 {address} 0.0.0.0:* users:((\"{program}\",pid=9,fd=3))\n")
        };
        let other = listeners::read(&(on("0.0.0.0:2222", "sshd") + &on("[::]:2222", "sshd")));
        assert_eq!(ssh_without_rule(&other, ""), Some(2222));
        for rules in ["tcp dport 22222 accept", "# tcp dport 2222 accept", "tcp dport 2222 drop"] {
            assert_eq!(ssh_without_rule(&other, rules), Some(2222), "{rules}");
        }
        for rules in ["tcp dport 2222 accept", "ip saddr 192.0.2.0/24 tcp dport { 2222, 80 } accept # mine"] {
            assert_eq!(ssh_without_rule(&other, rules), None, "{rules}");
        }
        assert_eq!(ssh_without_rule(&listeners::read(&on("[::]:22", "sshd")), ""), None);
        assert_eq!(ssh_without_rule(&listeners::read(&on("127.0.0.1:2222", "sshd")), ""), None);
        assert_eq!(ssh_without_rule(&listeners::read(&on("0.0.0.0:2222", "nginx")), ""), None);
    }
}
