//! Redis, asked for INFO over loopback. Three inline commands need no client: the password is letters and digits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use super::bounded::{exchange, within};
use super::{AskError, Place, Redis};

pub async fn ask(place: &Place) -> Redis {
    let Some(secrets) = &place.secrets else {
        return Redis { problem: Some("not asked: its password is root's".into()), ..Redis::default() };
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.cluster.ports.redis));
    let question = format!("AUTH {}\r\nINFO\r\nQUIT\r\n", secrets.redis);
    let answer = within(exchange(address, question.as_bytes())).await.and_then(|text| read(&text));
    answer.unwrap_or_else(|error| Redis { problem: Some(error.to_string()), ..Redis::default() })
}

fn read(answer: &str) -> Result<Redis, AskError> {
    if let Some(error) = answer.lines().find(|line| line.starts_with('-')) {
        return Err(AskError::Refused(error.trim_start_matches('-').trim_end().to_owned()));
    }
    let fields: BTreeMap<&str, &str> =
        answer.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let text = |key: &str| fields.get(key).map(|value| (*value).to_owned());
    let number = |key: &str| fields.get(key).and_then(|value| value.parse::<u64>().ok());
    let role = text("role").ok_or_else(|| AskError::Refused("its answer is not understood".into()))?;
    let is_replica = role == "slave";
    let replicas = number("connected_slaves").unwrap_or(0);
    let slowest = |key: &str| (0..replicas).filter_map(|n| replica_field(&fields, n, key)).max();
    let furthest = (0..replicas).filter_map(|n| replica_field(&fields, n, "offset")).min();
    let own = number(if is_replica { "slave_repl_offset" } else { "master_repl_offset" });
    let received = number("slave_read_repl_offset");
    let (ahead, behind) = if is_replica { (received, own) } else { (own, furthest) };
    Ok(Redis {
        running: true,
        problem: None,
        version: text("redis_version"),
        run_id: text("run_id"),
        link: text("master_link_status"),
        master: text("master_host"),
        offset: own,
        lag_bytes: ahead.zip(behind).map(|(ahead, behind)| ahead.saturating_sub(behind)),
        // -1 while the link is down: no number, and `link` says it.
        lag_seconds: if is_replica { number("master_last_io_seconds_ago") } else { slowest("lag") },
        replicas,
        memory_bytes: number("used_memory"),
        memory_max_bytes: number("maxmemory"),
        append_only_ok: (fields.get("aof_enabled") == Some(&"1"))
            .then(|| fields.get("aof_last_write_status") == Some(&"ok")),
        role: Some(role),
    })
}

/// `slave0:ip=198.18.78.12,port=6379,state=online,offset=1234,lag=0`
fn replica_field(fields: &BTreeMap<&str, &str>, n: u64, key: &str) -> Option<u64> {
    let line = fields.get(format!("slave{n}").as_str())?;
    line.split(',').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Redis 7.0.15, shortened.
    const MASTER: &str = "+OK\r\n$5000\r\n# Server\r\nredis_version:7.0.15\r\nrun_id:e1a0\r\n# Memory\r\n\
        used_memory:1600000\r\nmaxmemory:268435456\r\n# Persistence\r\naof_enabled:1\r\n\
        aof_last_write_status:ok\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=198.18.78.12,port=6379,state=online,offset=1200,lag=1\r\n\
        slave1:ip=198.18.78.13,port=6379,state=online,offset=1234,lag=0\r\nmaster_repl_offset:1234\r\n\r\n+OK\r\n";
    const REPLICA: &str = "+OK\r\n$300\r\nredis_version:8.0.2\r\naof_enabled:0\r\nrole:slave\r\n\
        master_host:198.18.78.11\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n\
        slave_read_repl_offset:120\r\nslave_repl_offset:100\r\nconnected_slaves:0\r\nmaster_repl_offset:100\r\n+OK\r\n";

    #[test]
    fn a_master_is_as_far_as_its_slowest_replica() {
        let found = read(MASTER).unwrap();
        assert_eq!(
            (found.role.as_deref(), found.lag_bytes, found.lag_seconds),
            (Some("master"), Some(34), Some(1))
        );
        assert_eq!(
            (found.version.as_deref(), found.append_only_ok, found.replicas),
            (Some("7.0.15"), Some(true), 2)
        );
    }

    #[test]
    fn a_replica_tells_its_link() {
        let found = read(REPLICA).unwrap();
        assert_eq!((found.role.as_deref(), found.link.as_deref()), (Some("slave"), Some("down")));
        assert_eq!((found.lag_bytes, found.lag_seconds, found.append_only_ok), (Some(20), None, None));
    }

    #[test]
    fn refusals_are_its_own_words() {
        let refused = "-WRONGPASS invalid username-password pair or user is disabled.\r\n-NOAUTH Authentication required.\r\n";
        assert!(read(refused).unwrap_err().to_string().starts_with("WRONGPASS"));
        assert!(read("").is_err());
    }
}
