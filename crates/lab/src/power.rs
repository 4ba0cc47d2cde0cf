//! A power switch behind gw: takes a node's power when the other node asks, as a BMC or a switched socket would.
//!
//! In: `POST /off/NODE` from the other node, by the service network. Out: 200 when that node is off. It is the lab's own
//! `kill`; a node that is off already is off.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::arbiter::address;
use crate::net::{self, Host, NODES};
use crate::places::Places;
use crate::process::{MARK, Process};
use crate::{LabName, node, run as programs};

const HOST: &str = "gw";
const PORT: u16 = 7_999;
/// `failover.fence.command`: nothing of the lab's is installed in a node for it. curl fails unless it is told 2xx.
pub const COMMAND: [&str; 7] =
    ["/usr/bin/curl", "-sSf", "--max-time", "10", "-X", "POST", "http://198.18.77.1:7999/off/{node}"];
const REQUEST_BYTES_MAX: usize = 1024;
const READ: Duration = Duration::from_secs(2);
/// Until it listens.
const START: Duration = Duration::from_secs(5);
const READY: &str = "listens";

/// Starts it as a process of its own.
pub fn start(lab: &LabName, places: &Places) -> Result<Process> {
    let log = File::create(places.log("power"))?;
    let mut command = programs::command("setsid");
    command.arg(std::env::current_exe().context("finding this program")?);
    command.args(["lab", "--lab", lab.as_str(), "power"]);
    command.env(MARK, lab.as_str()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().context("starting the power switch")?;
    let said = || std::fs::read_to_string(places.log("power")).unwrap_or_default();
    let started = Instant::now();
    while started.elapsed() < START {
        if let Some(status) = child.try_wait()? {
            bail!("the power switch ended ({status}): {}", said().trim());
        }
        if said().contains(READY) {
            let pid = i32::try_from(child.id()).context("a strange process number")?;
            return Process::of(pid).context("the power switch ended");
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("the power switch does not listen after {} s", START.as_secs())
}

/// Is the power switch, until it is killed.
///
/// # Errors
/// gw's namespace is not there, or the port is taken.
pub fn run(lab: &LabName) -> Result<()> {
    let listener = listen(lab)?;
    eprintln!("{READY} on {HOST}, port {PORT}");
    // One at a time: a lab is changed by one at a time too.
    for connection in listener.incoming().flatten() {
        let answer = match answer(lab, &connection) {
            Ok(node) => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{node} is off\n", node.len() + 8)
            }
            Err(why) => {
                eprintln!("refused: {why:#}");
                let text = format!("{why:#}\n");
                format!("HTTP/1.1 409 Conflict\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            }
        };
        // Who asked may have lost patience.
        let _gone = (&connection).write_all(answer.as_bytes());
    }
    Ok(())
}

fn listen(lab: &LabName) -> Result<TcpListener> {
    let gateway = Host::named(HOST).context("no gateway")?;
    net::inside(lab, gateway, || TcpListener::bind(("0.0.0.0", PORT)).context("listening in gw's namespace"))
}

fn answer(lab: &LabName, connection: &TcpStream) -> Result<&'static str> {
    connection.set_read_timeout(Some(READ))?;
    let asked_by = connection.peer_addr()?.ip();
    let mut request = [0; REQUEST_BYTES_MAX];
    let length = (&*connection).read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let node = asked_for(&request, asked_by)?;
    if node::init(lab, node).is_none() {
        eprintln!("{node} was off already; {asked_by} asked");
        return Ok(node);
    }
    let mut kill = programs::command("setsid");
    kill.arg(std::env::current_exe().context("finding this program")?);
    kill.args(["lab", "--lab", lab.as_str(), "kill", node]);
    let killed = programs::checked(&mut kill);
    if node::init(lab, node).is_some() {
        bail!(
            "{node} has power still: {}",
            killed.err().map_or_else(String::new, |error| format!("{error:#}"))
        );
    }
    eprintln!("{node} is off; {asked_by} asked");
    Ok(node)
}

/// The node of `POST /off/NODE`, if the other one asks.
fn asked_for(request: &str, asked_by: IpAddr) -> Result<&'static str> {
    let line = request.lines().next().unwrap_or_default();
    let name = line.strip_prefix("POST /off/").and_then(|rest| rest.split(' ').next());
    let node =
        NODES.into_iter().find(|node| name == Some(node)).context("ask for POST /off/n1 or /off/n2")?;
    let mut others = NODES.into_iter().filter(|other| *other != node);
    let is_other = others.any(|other| address(other).is_ok_and(|a| a == asked_by.to_string()));
    if is_other { Ok(node) } else { bail!("{asked_by} is not the other node") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_other_node_takes_a_nodes_power() {
        let (n1, n2) = ([198, 18, 77, 11].into(), [198, 18, 77, 12].into());
        assert_eq!(asked_for("POST /off/n1 HTTP/1.1\r\n", n2).unwrap(), "n1");
        for (request, by) in [
            ("POST /off/n1 HTTP/1.1", n1),
            ("POST /off/w HTTP/1.1", n1),
            ("GET /off/n1 HTTP/1.1", n2),
            ("", n2),
        ] {
            assert!(asked_for(request, by).is_err(), "{request} by {by}");
        }
        assert!(COMMAND.last().unwrap().starts_with(&format!("http://{}:{PORT}/", crate::net::GATEWAY)));
    }
}
