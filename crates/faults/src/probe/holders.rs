//! Who holds the virtual address, as the nodes themselves see it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;

use super::Desk;
use crate::namespace;

const EVERY: Duration = Duration::from_millis(50);

pub fn start(desk: Desk, node: usize, netns: String, vip: &str) -> Result<JoinHandle<()>> {
    let vip: Ipv4Addr = vip.parse().context("the virtual address is no address")?;
    let own = File::open("/proc/thread-self/ns/net").context("opening our own network namespace")?;
    let thread = thread::Builder::new().name(format!("probe-vip-{node}"));
    Ok(thread.spawn(move || {
        let mut held = None;
        while !desk.is_over() {
            // A node without power has no namespace, and no address.
            let holds = namespace::visit(&netns, &own, || has(vip)).unwrap_or(false);
            if held.replace(holds) != Some(holds) {
                desk.held(node, holds);
            }
            sleep(EVERY);
        }
    })?)
}

fn has(vip: Ipv4Addr) -> bool {
    let addresses = getifaddrs().into_iter().flatten();
    addresses.filter_map(|each| Some(each.address?.as_sockaddr_in()?.ip())).any(|ip| ip == vip)
}
