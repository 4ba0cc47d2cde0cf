//! Who holds the virtual address: the interface that has it, as the kernel says.

use serde::Deserialize;

use super::bounded::output;
use super::{ANSWER_MAX, Place, Vip};

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: String,
}

pub async fn ask(place: &Place) -> Option<Vip> {
    let address = place.cluster.vip.as_ref()?.address.to_string();
    let said = output("ip", &["-j", "addr", "show"], ANSWER_MAX).await;
    let found = said.map_err(|e| e.to_string()).and_then(|text| holder(&text, &address));
    Some(match found {
        Ok(interface) => Vip { address, held: interface.is_some(), interface, problem: None },
        Err(problem) => Vip { address, problem: Some(problem), ..Vip::default() },
    })
}

fn holder(text: &str, address: &str) -> Result<Option<String>, String> {
    let interfaces: Vec<Interface> = serde_json::from_str(text).map_err(|e| format!("ip -j addr: {e}"))?;
    let holds = |interface: &&Interface| interface.addr_info.iter().any(|a| a.local == address);
    Ok(interfaces.iter().find(holds).map(|interface| interface.ifname.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ip -j addr show` of iproute2 6.1, shortened.
    const SAID: &str = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"],"addr_info":[{"family":"inet",
        "local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"}]},{"ifindex":2,"ifname":"svc0",
        "addr_info":[{"family":"inet","local":"198.18.77.11","prefixlen":24},{"family":"inet","local":"198.18.77.100",
        "prefixlen":32,"scope":"global","secondary":true,"label":"svc0"}]},{}]"#;

    #[test]
    fn the_address_is_found_whole() {
        assert_eq!(holder(SAID, "198.18.77.100").unwrap().as_deref(), Some("svc0"));
        assert_eq!(holder(SAID, "198.18.77.10").unwrap(), None);
        assert!(holder("Cannot open", "1.2.3.4").is_err());
    }
}
