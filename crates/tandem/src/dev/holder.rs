//! Who listens on a port: for the message when it is taken.

use std::collections::HashSet;
use std::fs;

/// Processes looked at, at most.
const PROCESSES_MAX: usize = 20_000;

/// `name (pid N)` of the process that holds the port on any address, when this user may see it.
pub fn of(port: u16) -> Option<String> {
    let inodes: HashSet<String> = ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/net/{table}")).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(|line| bound_inode(line, port)).collect::<Vec<_>>())
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten().take(PROCESSES_MAX) {
        let pid = process.file_name().to_string_lossy().into_owned();
        if pid.parse::<u32>().is_err() {
            continue;
        }
        let Ok(sockets) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = sockets.flatten().filter_map(|fd| fs::read_link(fd.path()).ok()).any(|to| {
            let to = to.to_string_lossy();
            to.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')).is_some_and(|i| inodes.contains(i))
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The socket's inode of a line of /proc/net/{tcp,udp}, if it listens on the port: field 2 is `address:port` in hex,
/// 4 the state (0A listening, 07 bound UDP), 10 the inode.
fn bound_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let waits = matches!(*fields.get(3)?, "0A" | "07");
    (waits && u16::from_str_radix(local, 16).ok()? == port)
        .then(|| (*fields.get(9).unwrap_or(&"0")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_this_very_process() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let holder = of(socket.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
    }
}
