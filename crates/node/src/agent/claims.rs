//! Who else claims the virtual address (failover.md 14). A holder says so by gratuitous ARP (RFC 5227, 3) when it takes the
//! address, and every two seconds (keepalived's `vrrp_garp_master_refresh`): heard also where a packet filter lost heartbeats
//! and VRRP. Of an IPv6 address nothing is heard.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, eth, recv, socket_with};
use tokio::io::unix::AsyncFd;

/// A claim that is not repeated is forgotten after this: two refreshes and a little.
const CLAIM_LASTS: Duration = Duration::from_secs(5);
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// RFC 826 for Ethernet and IPv4.
const ARP_BYTES: usize = 28;
const HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];

type Mac = [u8; 6];

pub struct Claims {
    address: Ipv4Addr,
    heard: Mutex<Option<Instant>>,
}

impl Claims {
    /// None where there is no virtual address, or none of IPv4.
    pub fn of(address: Option<IpAddr>) -> Option<Self> {
        match address {
            Some(IpAddr::V4(address)) => Some(Self { address, heard: Mutex::default() }),
            _ => None,
        }
    }

    /// Another machine claimed it a moment ago.
    pub fn is_claimed(&self) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|at| at.elapsed() < CLAIM_LASTS)
    }

    /// For as long as the agent lives.
    pub async fn listen(&self) {
        loop {
            let Err(error) = self.hear().await;
            tracing::warn!("who else claims the virtual address is not heard: {error}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn hear(&self) -> io::Result<std::convert::Infallible> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, Some(eth::ARP))?;
        #[expect(
            deprecated,
            reason = "the new one is unsafe for the sake of types unlike OwnedFd, which keeps what it owns"
        )]
        let socket: AsyncFd<OwnedFd> = AsyncFd::new(socket)?;
        loop {
            let mut packet = [0; ARP_BYTES];
            let read = |socket: &OwnedFd| Ok(recv(socket, &mut packet[..], RecvFlags::empty())?.0);
            let bytes = socket.async_io(tokio::io::Interest::READABLE, read).await?;
            // What this node says itself is read too.
            if claimant(&packet[..bytes], self.address).is_some_and(|mac| !is_own(mac)) {
                *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
        }
    }
}

/// Who says that the address is its own: the sender of a request or an answer.
fn claimant(packet: &[u8], address: Ipv4Addr) -> Option<Mac> {
    let fits = packet.len() >= ARP_BYTES && packet.starts_with(&HEAD) && packet[14..18] == address.octets();
    fits.then(|| packet[8..14].try_into().ok()).flatten()
}

fn is_own(mac: Mac) -> bool {
    let mut all = getifaddrs().into_iter().flatten();
    all.any(|interface| interface.address.as_ref().and_then(|it| it.as_link_addr()?.addr()) == Some(mac))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::geteuid;

    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);

    fn gratuitous(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
        let address = address.octets();
        [&HEAD[..], &[0, 1], &mac, &address, &[0; 6], &address].concat()
    }

    #[test]
    fn only_the_senders_own_word_for_this_address_is_a_claim() {
        let mac = [2, 0, 0, 0, 0, 9];
        assert_eq!(claimant(&gratuitous(mac, VIP), VIP), Some(mac));
        assert_eq!(claimant(&gratuitous(mac, [198, 51, 100, 11].into()), VIP), None);
        let mut asks = gratuitous(mac, [198, 51, 100, 11].into());
        asks[24..28].copy_from_slice(&VIP.octets());
        assert_eq!(claimant(&asks, VIP), None, "who asks for it does not have it");
        assert_eq!(claimant(&gratuitous(mac, VIP)[..20], VIP), None);
    }

    /// A machine of its own, as far as networks go, until this is dropped.
    struct Machine(Child);

    impl Machine {
        fn new() -> Self {
            let machine = Self(Command::new("unshare").args(["--net", "sleep", "120"]).spawn().unwrap());
            let net = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
            assert!(testkit::wait_for(Duration::from_secs(10), || net(&machine.pid()) != net("thread-self")));
            machine
        }

        fn pid(&self) -> String {
            self.0.id().to_string()
        }

        fn run(&self, words: &str) {
            run("nsenter", &format!("--target {} --net {words}", self.pid()));
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn run(program: &str, words: &str) {
        let output = Command::new(program).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// On two network namespaces and a cable; the claim is the kernel's own.
    #[test]
    fn another_machine_that_takes_the_address_is_heard_and_this_one_is_not() {
        if !geteuid().is_root() {
            testkit::skip(&"network namespaces are root's");
            return;
        }
        std::thread::spawn(|| {
            // Of this thread alone.
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let other = Machine::new();
            run("ip", "link add here type veth peer name there");
            run("ip", &format!("link set there netns {}", other.pid()));
            run("ip", "link set here up");
            other.run("ip link set there up");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let claims = std::sync::Arc::new(Claims::of(Some(VIP.into())).unwrap());
                let listening = std::sync::Arc::clone(&claims);
                tokio::spawn(async move { listening.listen().await });
                let heard = || async {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    claims.is_claimed()
                };
                let announce = |interface: &str| {
                    [
                        format!("sysctl -qw net.ipv4.conf.{interface}.arp_notify=1"),
                        format!("ip link set {interface} down"),
                        format!("ip link set {interface} up"),
                    ]
                };
                run("ip", &format!("address add {VIP}/32 dev here"));
                for words in announce("here") {
                    let (program, words) = words.split_once(' ').unwrap();
                    run(program, words);
                }
                assert!(!heard().await, "its own word is no other's");
                other.run(&format!("ip address add {VIP}/32 dev there"));
                let mut claimed = false;
                for _ in 0..20 {
                    if claimed {
                        break;
                    }
                    announce("there").iter().for_each(|words| other.run(words));
                    claimed = heard().await;
                }
                assert!(claimed);
            });
        })
        .join()
        .unwrap();
    }
}
