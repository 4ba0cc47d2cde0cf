//! Does a SIP server process requests? An OPTIONS to itself (RFC 3261, 11), over UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use tokio::net::UdpSocket;

use super::bounded::within;
use super::{AskError, SipAnswer};

const ANSWER_BYTES_MAX: usize = 4096;

/// The answer of the server at `to`, within [`super::ANSWER_MAX`].
pub async fn answer(to: SocketAddr) -> SipAnswer {
    let asked = Instant::now();
    match within(options(to)).await {
        Ok(code) => SipAnswer {
            answers: true,
            code: Some(code),
            milliseconds: u32::try_from(asked.elapsed().as_millis()).ok(),
            problem: None,
        },
        Err(error) => SipAnswer { problem: Some(error.to_string()), ..SipAnswer::default() },
    }
}

/// Sends one OPTIONS and returns the status code of what comes back; not sent again, and the caller bounds it.
///
/// # Errors
/// Nobody listens, or the answer is no SIP.
pub async fn options(to: SocketAddr) -> Result<u16, AskError> {
    let any = match to.ip() {
        // From the address asked about: a server may listen for its own address only.
        IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    let from = socket.local_addr()?;
    socket.send(request(to, from).as_bytes()).await?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let length = socket.recv(&mut answer).await?;
    status_code(answer.get(..length).unwrap_or_default())
        .ok_or_else(|| AskError::Refused("what answers there does not speak SIP".into()))
}

fn request(to: SocketAddr, from: SocketAddr) -> String {
    let unique = uuid::Uuid::new_v4().simple();
    format!(
        "OPTIONS sip:{to} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};rport;branch=z9hG4bK{unique}\r\n\
         Max-Forwards: 5\r\n\
         From: <sip:tandem@{from}>;tag={unique}\r\n\
         To: <sip:{to}>\r\n\
         Call-ID: {unique}@tandem\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:tandem@{from}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn status_code(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"SIP/2.0 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_as_a_client_would() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = server.local_addr().unwrap();
        let answering = async {
            let mut request = [0; ANSWER_BYTES_MAX];
            let (length, client) = server.recv_from(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            server.send_to(b"SIP/2.0 200 OK\r\n\r\n", client).await.unwrap();
            request
        };
        let (request, answer) = tokio::join!(answering, answer(address));
        assert!(request.starts_with("OPTIONS sip:127.0.0.1:") && request.ends_with("\r\n\r\n"), "{request}");
        assert_eq!((answer.answers, answer.code), (true, Some(200)));
    }

    #[tokio::test]
    async fn silence_and_noise_are_told_apart_from_an_answer() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let found = answer(silent.local_addr().unwrap()).await;
        assert!(!found.answers && found.problem.unwrap().contains("no answer within"));
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!answer(free).await.answers);
        for noise in [&b"HTTP/1.1 200 OK"[..], b"SIP/2.0 2", b""] {
            assert_eq!(status_code(noise), None);
        }
        assert_eq!(status_code(b"SIP/2.0 503 Maximum Calls"), Some(503));
    }
}
