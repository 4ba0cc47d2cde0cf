//! The forwarder: a port of the host's loopback, and of the clients' own, to the API at the virtual address.
//!
//! In: connections on 127.0.0.1. Out: connections from the clients' namespace to whoever holds the address at that moment,
//! so that it is not touched by a failover. It keeps nothing of a connection.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

use crate::net::{CLIENTS, VIP};
use crate::places::Places;
use crate::process::{MARK, Process};
use crate::{LabName, run as programs};

/// The API's port on the nodes.
const API_PORT: u16 = 8080;
/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 256;
/// Until the address answers.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the forwarder listens.
const START: Duration = Duration::from_secs(5);

/// Starts the forwarder as a process of its own.
pub fn start(lab: &LabName, places: &Places, port: u16) -> Result<Process> {
    let log = File::create(places.log("forward"))?;
    let mut command = programs::command("setsid");
    command.arg(std::env::current_exe().context("finding this program")?);
    command.args(["lab", "--lab", lab.as_str(), "forward", "--port", &port.to_string()]);
    command.env(MARK, lab.as_str()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().context("starting the forwarder")?;
    let started = Instant::now();
    while started.elapsed() < START {
        if let Some(status) = child.try_wait()? {
            let words = std::fs::read_to_string(places.log("forward")).unwrap_or_default();
            bail!("the forwarder ended ({status}): {}", words.trim());
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let pid = i32::try_from(child.id()).context("a strange process number")?;
            return Process::of(pid).context("the forwarder ended");
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("the forwarder does not listen on port {port} after {} s", START.as_secs())
}

/// Is the forwarder, until it is killed.
///
/// # Errors
/// The port is taken, or the clients' namespace is not there.
pub fn run(lab: &LabName, port: u16) -> Result<()> {
    let here = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("listening on port {port}"))?;
    let namespace = Path::new("/run/netns").join(lab.of_host(CLIENTS));
    let namespace = File::open(&namespace).with_context(|| format!("opening {}", namespace.display()))?;
    let (accepted, connections) = sync_channel(CONNECTIONS_MAX);
    let from_host = accepted.clone();
    thread::spawn(move || accept(&here, &from_host));
    // This thread, and all it starts, are in the clients' namespace from here on.
    setns(&namespace, CloneFlags::CLONE_NEWNET).context("entering the clients' namespace")?;
    let there = TcpListener::bind(("127.0.0.1", port)).context("listening in the clients' namespace")?;
    thread::spawn(move || accept(&there, &accepted));
    connect(&connections);
    Ok(())
}

fn accept(listener: &TcpListener, connections: &SyncSender<TcpStream>) {
    for connection in listener.incoming() {
        match connection {
            // Full: closed at once.
            Ok(connection) => drop(connections.try_send(connection)),
            // Out of descriptors, or the like: it passes.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn connect(connections: &Receiver<TcpStream>) {
    let open = Arc::new(AtomicUsize::new(0));
    for connection in connections {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let open = open.clone();
        thread::spawn(move || {
            // An address that does not answer closes the connection: the caller sees that nobody is there.
            let _closed = relay(&connection);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn relay(connection: &TcpStream) -> io::Result<()> {
    let address: SocketAddr = format!("{VIP}:{API_PORT}").parse().map_err(io::Error::other)?;
    let server = TcpStream::connect_timeout(&address, CONNECT)?;
    for stream in [connection, &server] {
        stream.set_nodelay(true)?;
    }
    let (to_server, from_connection) = (server.try_clone()?, connection.try_clone()?);
    let up = thread::spawn(move || copy(&from_connection, &to_server));
    copy(&server, connection);
    let _ended = up.join();
    Ok(())
}

/// One direction; its end is handed on, the other direction goes on.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let ended = io::copy(&mut from, &mut to);
    let how = if ended.is_ok() { Shutdown::Write } else { Shutdown::Both };
    let _closed = to.shutdown(how);
    if ended.is_err() {
        let _closed = from.shutdown(Shutdown::Both);
    }
}
