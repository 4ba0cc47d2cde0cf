//! Delay: frames of a port are handed on after a while, both ways, by a process of the lab's.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

use super::faults::relay_side;

/// Frames on their way, a direction of a port; what comes on top is dropped, as by a full switch.
const FRAMES_MAX: usize = 10_000;
/// Largest frame with its header.
const FRAME_BYTES_MAX: usize = 9_018;

/// Relays every port until it is killed. Two nodes' ports are on the way between them: each takes half of the delay.
///
/// # Errors
/// A port is not there.
pub fn run(ports: &[String], delay_ms: u32) -> Result<()> {
    let delay = Duration::from_micros(u64::from(delay_ms) * 500);
    let interfaces = interfaces()?;
    let mut threads = Vec::new();
    for port in ports {
        // One socket an interface: the kernel does not show a socket what it sent itself.
        let host = Arc::new(open(&interfaces, port)?);
        let bridge = Arc::new(open(&interfaces, &relay_side(port))?);
        for (from, to) in [(host.clone(), bridge.clone()), (bridge, host)] {
            let (frames, coming) = sync_channel::<(Instant, Vec<u8>)>(FRAMES_MAX);
            threads.push(thread::spawn(move || read(&from, delay, &frames)));
            thread::spawn(move || {
                for (due, frame) in coming {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    // A cable that was pulled takes nothing.
                    let _lost = send(to.as_raw_fd(), &frame, MsgFlags::empty());
                }
            });
        }
    }
    for thread in threads {
        let _ended = thread.join();
    }
    Ok(())
}

/// Until the interface is gone.
fn read(from: &OwnedFd, delay: Duration, frames: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    while let Ok(bytes) = recv(from.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        let _full = frames.try_send((Instant::now() + delay, buffer[..bytes].to_vec()));
    }
}

fn interfaces() -> Result<HashMap<String, LinkAddr>> {
    let all = getifaddrs().context("listing interfaces")?;
    let link = |address: nix::ifaddrs::InterfaceAddress| {
        Some((address.interface_name, *address.address?.as_link_addr()?))
    };
    Ok(all.filter_map(link).collect())
}

fn open(interfaces: &HashMap<String, LinkAddr>, name: &str) -> Result<OwnedFd> {
    let address = interfaces.get(name).with_context(|| format!("there is no interface {name}"))?;
    let kind = (AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll);
    let socket = socket(kind.0, kind.1, kind.2, kind.3).context("opening a packet socket")?;
    bind(socket.as_raw_fd(), address).with_context(|| format!("binding to {name}"))?;
    Ok(socket)
}
