//! Audio through the double, phone to phone.

use super::support::Bench;
use media_double::sip::sdp::Remote;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

fn sdp(phone: &UdpSocket) -> String {
    let port = phone.local_addr().expect("bound").port();
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0\r\n"
    )
}

fn audio_of(body: &[u8]) -> SocketAddr {
    Remote::parse(body).expect("audio").address
}

/// Waits for a packet of a mark, past any silence.
async fn hears(phone: &UdpSocket, mark: u8) {
    let mut buffer = [0; 2_000];
    let heard = async {
        loop {
            let length = phone.recv(&mut buffer).await.expect("socket");
            if buffer[length - 1] == mark && length == 172 {
                return;
            }
        }
    };
    timeout(Duration::from_secs(5), heard).await.expect("audio in time");
}

fn packet(mark: u8) -> Vec<u8> {
    let mut packet = vec![mark; 172];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet
}

#[tokio::test]
async fn audio_goes_both_ways_and_is_counted() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let phone = || async { UdpSocket::bind("127.0.0.1:0").await.expect("a free port") };
    let (caller_rtp, agent_rtp) = (phone().await, phone().await);

    let invite = sip.invite("queue", "8001", "support").with_body("application/sdp", sdp(&caller_rtp));
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    hears(&caller_rtp, 0xd5).await; // A-law silence: the first codec of the caller's list

    let agent = sip.incoming("INVITE").await;
    assert!(
        String::from_utf8_lossy(&agent.body).contains("RTP/AVP 8\r\n"),
        "the caller's codec and no other"
    );
    sip.reply(&agent, 200, "agent", Some(&sdp(&agent_rtp))).await;
    sip.incoming("ACK").await;
    for _ in 0..3 {
        agent_rtp.send_to(&packet(7), audio_of(&agent.body)).await.expect("sent");
        hears(&caller_rtp, 7).await;
        caller_rtp.send_to(&packet(8), audio_of(&ok.body)).await.expect("sent");
        hears(&agent_rtp, 8).await;
    }
    sip.hang_up(&mut caller).await;
    let (callers, agents) = bench.voipadmind.legs(2).await;
    for leg in [&callers[0], &agents[0]] {
        assert_eq!(leg["rtp_audio_in_packet_count"], "3");
    }
    assert_eq!(agents[0]["rtp_audio_out_packet_count"], "3");
}

#[tokio::test]
async fn a_caller_without_an_offer_gets_ours() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let caller_rtp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let invite = sip.invite("ivr", "9001", "main").with_body("application/sdp", "");
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    audio_of(&ok.body);
    let mut phone = sip.established(&invite, &ok).await;
    let mut ack = sip.within(&mut phone, "ACK");
    ack.headers.set("CSeq", "1 ACK");
    sip.send(&ack.with_body("application/sdp", sdp(&caller_rtp))).await;
    hears(&caller_rtp, 0xff).await;
}
