//! The node's services, as systemd sees them, and the versions of their packages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::bounded::output;
use super::{ANSWER_MAX, Place, Service};

const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,MainPID,ActiveEnterTimestamp,InactiveEnterTimestamp,\
                          MemoryCurrent,NRestarts,Result";
/// Packages change when somebody changes them.
const VERSIONS_EVERY: Duration = Duration::from_secs(60);
/// Of the program itself; FreeSWITCH takes half a second to say it.
const VERSION_MAX: Duration = Duration::from_secs(5);

/// A service: the name people use, its unit, its package.
struct Known {
    name: &'static str,
    unit: String,
    package: String,
}

fn known(place: &Place) -> Vec<Known> {
    let major = place.postgresql_major();
    let plain = |name: &'static str, unit: &str, package: &str| Known {
        name,
        unit: format!("{unit}.service"),
        package: package.to_owned(),
    };
    let media = match place.media_engine() {
        "double" => plain("media-double", "tandem-media-double", "tandem-media-double"),
        _ => plain("freeswitch", "freeswitch", "freeswitch"),
    };
    let mut services = vec![
        plain("tandem-agent", "tandem-agent", "tandem"),
        plain("postgresql", &format!("postgresql@{major}-main"), &format!("postgresql-{major}")),
        plain("redis", "redis-server", "redis-server"),
        plain("voip-admin", "voip-admin", "tandem"),
        media,
        plain("kamailio", "kamailio", "kamailio"),
    ];
    if place.cluster.vip.is_some() {
        services.push(plain("keepalived", "keepalived", "keepalived"));
    }
    services
}

/// What was found of versions, and when.
#[derive(Default)]
pub struct Versions {
    of_packages: BTreeMap<String, String>,
    freeswitch: Option<String>,
    looked: Option<Instant>,
}

pub async fn ask(place: &Place, versions: &mut Versions) -> Vec<Service> {
    let known = known(place);
    let mut args = vec!["show", "--no-pager", "--timestamp=unix", PROPERTIES];
    args.extend(known.iter().map(|k| k.unit.as_str()));
    let (said, ()) = tokio::join!(output("systemctl", &args, ANSWER_MAX), versions.refresh(place, &known));
    let blocks = said.as_deref().map(blocks).unwrap_or_default();
    let shown = |k: &Known| {
        let mut service = blocks.get(k.unit.as_str()).map_or_else(unknown, read);
        service.name = k.name.to_owned();
        service.unit.clone_from(&k.unit);
        service.version = versions.of(k);
        if let Err(error) = &said {
            service.result = Some(error.to_string());
        }
        service
    };
    known.iter().map(shown).collect()
}

fn unknown() -> Service {
    Service { state: "unknown".into(), ..Service::default() }
}

type Block<'a> = BTreeMap<&'a str, &'a str>;

/// `systemctl show` of several units: `Key=value` lines, an empty line between units.
fn blocks(text: &str) -> BTreeMap<&str, Block<'_>> {
    text.split("\n\n").map(block).filter_map(|b| Some((*b.get("Id")?, b))).collect()
}

fn block(part: &str) -> Block<'_> {
    part.lines().filter_map(|line| line.split_once('=')).collect()
}

fn read(block: &Block<'_>) -> Service {
    let get = |key: &str| block.get(key).copied().unwrap_or_default();
    let active = get("ActiveState") == "active";
    let state = match get("LoadState") {
        "not-found" => "absent",
        "masked" => "masked",
        _ => get("ActiveState"),
    };
    let since = if active { get("ActiveEnterTimestamp") } else { get("InactiveEnterTimestamp") };
    Service {
        state: state.to_owned(),
        active,
        since: since
            .strip_prefix('@')
            .and_then(|s| s.parse().ok())
            .and_then(|s| Timestamp::from_second(s).ok()),
        pid: get("MainPID").parse().ok().filter(|pid| *pid != 0),
        // "[not set]" where the unit has no cgroup, or memory is not accounted.
        memory_bytes: get("MemoryCurrent").parse().ok(),
        restarts: get("NRestarts").parse().unwrap_or(0),
        result: Some(get("Result").to_owned()).filter(|r| !r.is_empty() && r != "success"),
        ..Service::default()
    }
}

impl Versions {
    async fn refresh(&mut self, place: &Place, known: &[Known]) {
        if self.looked.is_some_and(|looked| looked.elapsed() < VERSIONS_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        // A package that is not there makes dpkg-query fail; what it says of the others counts.
        let script = "dpkg-query -W -f='${Package} ${Version}\\n' \"$@\" 2>/dev/null; true";
        let mut args = vec!["-c", script, "sh"];
        args.extend(known.iter().map(|k| k.package.as_str()));
        if let Ok(said) = output("sh", &args, ANSWER_MAX).await {
            self.of_packages = said.lines().filter_map(package).collect();
        }
        if self.freeswitch.is_none() && place.media_engine() == "freeswitch" {
            self.freeswitch = freeswitch(place).await;
        }
    }

    fn of(&self, known: &Known) -> Option<String> {
        let packaged = self.of_packages.get(&known.package).cloned();
        packaged.or_else(|| self.freeswitch.clone().filter(|_| known.name == "freeswitch"))
    }
}

/// `redis-server 5:7.0.15-1~deb12u10` is 7.0.15 to people.
fn package(line: &str) -> Option<(String, String)> {
    let (name, version) = line.split_once(' ')?;
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    let plain = upstream.split(['+', '~']).next().unwrap_or(upstream);
    (!plain.is_empty()).then(|| (name.to_owned(), plain.to_owned()))
}

/// The operator's own build has no package to ask.
async fn freeswitch(place: &Place) -> Option<String> {
    let program = crate::media::freeswitch(&place.layout);
    let said = output(program.to_str()?, &["-version"], VERSION_MAX).await.ok()?;
    let version =
        said.split_ascii_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(version.split(['~', '-']).next().unwrap_or(version).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// systemd 252.
    const SAID: &str = "MainPID=4711\nNRestarts=2\nResult=success\nMemoryCurrent=52428800\nId=kamailio.service\n\
        LoadState=loaded\nActiveState=active\nActiveEnterTimestamp=@1764001234\nInactiveEnterTimestamp=@1764001200\n\n\
        MainPID=0\nNRestarts=5\nResult=exit-code\nMemoryCurrent=[not set]\nId=redis-server.service\nLoadState=loaded\n\
        ActiveState=failed\nActiveEnterTimestamp=@1764001234\nInactiveEnterTimestamp=@1764001300\n\n\
        MainPID=0\nNRestarts=0\nResult=success\nId=freeswitch.service\nLoadState=not-found\nActiveState=inactive\n\
        ActiveEnterTimestamp=\n";

    #[test]
    fn units_are_told_apart() {
        let blocks = blocks(SAID);
        let kamailio = read(&blocks["kamailio.service"]);
        assert_eq!((kamailio.active, kamailio.pid, kamailio.restarts), (true, Some(4711), 2));
        assert_eq!((kamailio.memory_bytes, kamailio.result), (Some(52_428_800), None));
        assert_eq!(kamailio.since.unwrap().as_second(), 1_764_001_234);
        let redis = read(&blocks["redis-server.service"]);
        assert_eq!((redis.state.as_str(), redis.pid, redis.memory_bytes), ("failed", None, None));
        assert_eq!(
            (redis.result.as_deref(), redis.since.unwrap().as_second()),
            (Some("exit-code"), 1_764_001_300)
        );
        let freeswitch = read(&blocks["freeswitch.service"]);
        assert_eq!((freeswitch.state.as_str(), freeswitch.active, freeswitch.since), ("absent", false, None));
    }

    #[test]
    fn debian_versions_are_cut_to_the_programs_own() {
        for (line, version) in [
            ("redis-server 5:7.0.15-1~deb12u10", "7.0.15"),
            ("postgresql-15 15.18-0+deb12u1", "15.18"),
            ("keepalived 1:2.3.3-1", "2.3.3"),
            ("kamailio 6.0.1-1+b2", "6.0.1"),
            ("tandem 0.1.0", "0.1.0"),
            ("kamailio 5.6.3+dfsg-1", "5.6.3"),
        ] {
            assert_eq!(package(line).unwrap().1, version);
        }
        assert_eq!(package("half "), None);
    }
}
