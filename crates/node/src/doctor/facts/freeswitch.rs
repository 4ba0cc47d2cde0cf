//! FreeSWITCH, asked over its event socket: is the profile up, are the modules there?
//!
//! Not by `fs_cli`: its password would be an argument, and every user can read those.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ANSWER_MAX;
use crate::observe::Place;

/// Without one of these the platform does not work.
pub const MODULES: [&str; 9] = [
    "mod_sofia",
    "mod_xml_curl",
    "mod_json_cdr",
    "mod_event_socket",
    "mod_dptools",
    "mod_commands",
    "mod_callcenter",
    "mod_voicemail",
    "mod_dialplan_xml",
];
const ANSWER_BYTES_MAX: u64 = 256 << 10;

#[derive(Debug, PartialEq, Eq)]
pub struct FreeSwitch {
    pub profile_runs: bool,
    pub missing_modules: Vec<&'static str>,
}

pub async fn ask(place: &Place) -> Option<Result<FreeSwitch, String>> {
    if place.media_engine() != "freeswitch" {
        return None;
    }
    let secrets = place.secrets.as_ref()?;
    let mut request = format!("auth {}\n\napi sofia status profile kamailio\n\n", secrets.esl);
    for module in MODULES {
        request.push_str(&format!("api module_exists {module}\n\n"));
    }
    request.push_str("exit\n\n");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.cluster.ports.esl));
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    Some(match timeout(ANSWER_MAX, asked).await {
        Ok(Ok(answer)) => read(&answer),
        Ok(Err(error)) => Err(format!("its event socket at {address}: {error}")),
        Err(_) => Err(format!("its event socket gave no answer within {} s", ANSWER_MAX.as_secs())),
    })
}

/// The bodies of the answers to `api`, in the order asked.
fn read(answer: &str) -> Result<FreeSwitch, String> {
    if answer.contains("-ERR invalid") {
        return Err("its event socket does not take our password: restart it after 'tandem apply'".into());
    }
    let bodies: Vec<&str> = answer
        .split("Content-Type: api/response\n")
        .skip(1)
        .map(|part| part.split_once("\n\n").map_or("", |(_, body)| body))
        .collect();
    let Some((profile, modules)) = bodies.split_first() else {
        return Err("its event socket answers something unknown".into());
    };
    let missing = |pair: &(&&'static str, &&str)| !pair.1.trim_start().starts_with("true");
    Ok(FreeSwitch {
        profile_runs: profile.contains("RUNNING") || profile.contains("Dialplan"),
        missing_modules: MODULES.iter().zip(modules).filter(missing).map(|(module, _)| *module).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(profile: &str, modules: impl Fn(&str) -> bool) -> String {
        let body =
            |text: &str| format!("Content-Type: api/response\nContent-Length: {}\n\n{text}", text.len());
        let mut all =
            "Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: +OK accepted\n\n"
                .to_owned();
        all.push_str(&body(profile));
        for module in MODULES {
            all.push_str(&body(if modules(module) { "true" } else { "false" }));
        }
        all + "Content-Type: command/reply\nReply-Text: +OK bye\n\nContent-Type: text/disconnect-notice\nContent-Length: 67\n\nDisconnected, goodbye."
    }

    #[test]
    fn profile_and_modules_are_told_apart() {
        let profile =
            "====\nName             \tkamailio\nDialplan         \tXML\nContext          \ttandem\n";
        let well = read(&answer(profile, |_| true)).unwrap();
        assert_eq!(well, FreeSwitch { profile_runs: true, missing_modules: vec![] });
        let ill = read(&answer("Invalid Profile!", |m| m != "mod_json_cdr")).unwrap();
        assert_eq!(ill, FreeSwitch { profile_runs: false, missing_modules: vec!["mod_json_cdr"] });
        let refused =
            "Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: -ERR invalid\n\n";
        assert!(read(refused).unwrap_err().contains("password"));
        assert!(read("").is_err());
    }
}
