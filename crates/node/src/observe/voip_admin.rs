//! voipadmind's own `/health`, asked on loopback, where it tells the details.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::bounded::{exchange, within};
use super::{Records, VoipAdmin};

#[derive(Deserialize)]
struct Report {
    status: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
struct Details {
    database: Option<String>,
    redis: Option<String>,
    journal: Option<String>,
    journal_pending: Option<u64>,
    records: Option<Records>,
}

pub async fn ask(port: u16) -> VoipAdmin {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // HTTP/1.0: the answer ends with the connection and is not chunked.
    let request = format!("GET /health HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let answer = match within(exchange(address, request.as_bytes())).await {
        Ok(answer) => answer,
        Err(error) => return VoipAdmin { problem: Some(error.to_string()), ..VoipAdmin::default() },
    };
    read(&answer).unwrap_or_else(|| {
        let problem = Some("what answers there is not voipadmind".to_owned());
        VoipAdmin { problem, ..VoipAdmin::default() }
    })
}

fn read(answer: &str) -> Option<VoipAdmin> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let report: Report = serde_json::from_str(body).ok()?;
    let details = report.details.unwrap_or_default();
    Some(VoipAdmin {
        answers: true,
        status: Some(report.status),
        database: details.database,
        redis: details.redis,
        journal: details.journal,
        journal_pending: details.journal_pending,
        records: details.records,
        problem: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_read_with_and_without_details() {
        let full = "HTTP/1.0 503 Service Unavailable\r\ncontent-type: application/json\r\n\r\n\
            {\"status\":\"failing\",\"live\":true,\"ready\":false,\"details\":{\"node\":\"n1\",\"version\":\"0.1.0\",\
            \"database\":\"no answer in 1 s\",\"redis\":\"ok\",\"journal\":\"ok\",\"journal_pending\":12,\
            \"records\":{\"missing\":2,\"unheard\":0,\"what\":\"sessions of n1\"}}}";
        let found = read(full).unwrap();
        assert_eq!((found.status.as_deref(), found.journal_pending), (Some("failing"), Some(12)));
        assert_eq!(found.records, Some(Records { missing: 2, unheard: 0, what: "sessions of n1".into() }));
        let short = "HTTP/1.0 200 OK\r\n\r\n{\"status\":\"ok\",\"live\":true,\"ready\":true}";
        assert!(read(short).unwrap().answers);
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\n<html>"), None);
    }
}
