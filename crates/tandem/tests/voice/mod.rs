//! A voice of one tone over RTP (G.711 µ-law), and an ear that tells tones apart.

use std::f64::consts::TAU;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long both talk.
pub const CONVERSATION: Duration = Duration::from_secs(4);
/// What is listened to: the end, when whatever plays before an answer is over.
const LISTENED_SAMPLES: usize = 2 * RATE_HZ;
const RATE_HZ: usize = 8_000;
const PACKET: Duration = Duration::from_millis(20);
const PACKET_SAMPLES: usize = RATE_HZ / 50;
const RTP_HEADER_BYTES: usize = 12;
const AMPLITUDE: f64 = 8_000.0;
/// Of µ-law: ITU-T G.711, the 16 bit form.
const BIAS: i32 = 0x84;

pub struct Voice {
    socket: UdpSocket,
    tone_hz: f64,
}

impl Voice {
    /// 0 Hz is silence.
    pub fn of(tone_hz: f64) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, tone_hz }
    }

    pub fn sdp(&self) -> String {
        let port = self.socket.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
        )
    }

    /// Talks and listens at once; the last of what was heard.
    pub fn converse(&self, to: SocketAddr) -> Vec<f64> {
        let (start, spoken) = (Instant::now(), samples(self.tone_hz, CONVERSATION));
        let mut heard = Vec::new();
        for (number, samples) in (0_u16..).zip(spoken.chunks(PACKET_SAMPLES)) {
            let mut packet = vec![0x80, 0];
            packet.extend(number.to_be_bytes());
            packet.extend((u32::from(number) * PACKET_SAMPLES as u32).to_be_bytes());
            packet.extend(self.tone_hz.to_bits().to_be_bytes()[..4].iter());
            packet.extend(samples.iter().map(|sample| encode(*sample)));
            self.socket.send_to(&packet, to).unwrap();
            std::thread::sleep((PACKET * u32::from(number + 1)).saturating_sub(start.elapsed()));
            self.hear(&mut heard);
        }
        heard.split_off(heard.len().saturating_sub(LISTENED_SAMPLES))
    }

    fn hear(&self, heard: &mut Vec<f64>) {
        let mut buffer = [0; 2_048];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            if length == RTP_HEADER_BYTES + PACKET_SAMPLES && buffer[1] & 0x7f == 0 {
                heard.extend(buffer[RTP_HEADER_BYTES..length].iter().map(|byte| decode(*byte)));
            }
        }
    }
}

/// Where the media of an SDP is received.
pub fn place(sdp: &str) -> SocketAddr {
    let line = |prefix: &str| sdp.lines().find_map(|l| l.strip_prefix(prefix)).unwrap();
    let port = line("m=audio ").split(' ').next().unwrap();
    format!("{}:{port}", line("c=IN IP4 ").trim()).parse().unwrap()
}

pub fn samples(tone_hz: f64, length: Duration) -> Vec<f64> {
    let count = RATE_HZ * usize::try_from(length.as_secs()).unwrap();
    (0..count).map(|i| AMPLITUDE * (TAU * tone_hz * i as f64 / RATE_HZ as f64).sin()).collect()
}

/// The part of the sound's power that is of this tone (Goertzel), by packets: one that is lost breaks no phase.
pub fn share_of(tone_hz: f64, heard: &[f64]) -> f64 {
    let coefficient = 2.0 * (TAU * tone_hz / RATE_HZ as f64).cos();
    let (mut of_tone, mut of_all) = (0.0, 0.0);
    for packet in heard.chunks_exact(PACKET_SAMPLES) {
        let (mut last, mut before) = (0.0, 0.0);
        for sample in packet {
            (last, before) = (sample + coefficient * last - before, last);
        }
        of_tone +=
            2.0 * (last * last + before * before - coefficient * last * before) / PACKET_SAMPLES as f64;
        of_all += packet.iter().map(|sample| sample * sample).sum::<f64>();
    }
    // Less than the loudness of a whisper is silence, whatever it is made of.
    let whisper = (AMPLITUDE / 100.0).powi(2) * LISTENED_SAMPLES as f64;
    of_tone / of_all.max(whisper)
}

fn encode(sample: f64) -> u8 {
    let magnitude = (sample.abs() as i32).min(32_635) + BIAS;
    let exponent = magnitude.ilog2() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0.0 { 0x80 } else { 0 };
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

fn decode(byte: u8) -> f64 {
    let byte = !byte;
    let magnitude = (((i32::from(byte & 0x0f) << 3) + BIAS) << ((byte & 0x70) >> 4)) - BIAS;
    f64::from(if byte & 0x80 == 0 { magnitude } else { -magnitude })
}
