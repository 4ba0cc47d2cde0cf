//! SDP as far as one audio stream needs it (RFC 4566, RFC 3264): G.711 and telephone-event, no transcoding.

use std::net::{IpAddr, SocketAddr};

/// Media type of an SDP body.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Most `m=` lines an offer may hold; each is answered, so each is remembered.
const MEDIA_LINES_MAX: usize = 16;

/// The two codecs that every phone speaks and that need no library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
}

impl Codec {
    /// Static RTP payload type.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// Encoding name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// A sample of digital silence.
    pub fn silence(self) -> u8 {
        match self {
            Self::Pcmu => 0xff,
            Self::Pcma => 0xd5,
        }
    }
}

/// What the far end said of its audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it wants RTP.
    pub address: SocketAddr,
    /// The first codec of its list that we speak.
    pub codec: Codec,
    /// Payload type of its telephone-events, if it has any.
    pub dtmf: Option<u8>,
    /// Every `m=` line's media name, in order, and which of them is the audio we take: an answer must mirror them.
    media: Vec<String>,
    audio_index: usize,
}

impl Remote {
    /// Reads an offer or an answer. `None` if it holds no plain RTP audio we speak.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let (mut session_ip, mut media_ip): (Option<IpAddr>, Option<IpAddr>) = (None, None);
        let (mut media, mut audio): (Vec<String>, Option<(usize, u16, Codec)>) = (Vec::new(), None);
        let mut dtmf = None;
        for line in text.lines().map(str::trim_end) {
            // Attributes count for the audio stream only while its section lasts.
            let in_audio = audio.is_some_and(|(index, ..)| index + 1 == media.len());
            if let Some(m) = line.strip_prefix("m=") {
                if media.len() == MEDIA_LINES_MAX {
                    return None;
                }
                if audio.is_none() {
                    audio = audio_line(m).map(|(port, codec)| (media.len(), port, codec));
                }
                media.push(m.split(' ').next()?.to_owned());
            } else if let Some(c) = line.strip_prefix("c=") {
                let ip = c.split(' ').nth(2).and_then(|ip| ip.split('/').next()?.parse().ok());
                match media.is_empty() {
                    true => session_ip = ip,
                    false if in_audio => media_ip = ip,
                    false => {}
                }
            } else if in_audio
                && let Some((payload, encoding)) =
                    line.strip_prefix("a=rtpmap:").and_then(|map| map.split_once(' '))
                && encoding.to_ascii_lowercase().starts_with("telephone-event/8000")
            {
                dtmf = payload.parse().ok();
            }
        }
        let (audio_index, port, codec) = audio?;
        let address = SocketAddr::new(media_ip.or(session_ip)?, port);
        Some(Self { address, codec, dtmf, media, audio_index })
    }

    /// Our answer to this offer: one stream accepted, all others refused with port 0.
    pub fn answer(&self, local: &Local) -> String {
        let mut sdp = local.session();
        for (index, name) in self.media.iter().enumerate() {
            if index == self.audio_index {
                sdp.push_str(&local.audio(self.codec, self.dtmf));
            } else {
                sdp.push_str(&format!("m={name} 0 RTP/AVP 0\r\n"));
            }
        }
        sdp
    }
}

/// Port and first known codec of an `m=audio` line in plain RTP.
fn audio_line(m: &str) -> Option<(u16, Codec)> {
    let mut words = m.split(' ');
    if (words.next()?, words.clone().nth(1)?) != ("audio", "RTP/AVP") {
        return None;
    }
    let port: u16 = words.next()?.split('/').next()?.parse().ok()?;
    let codec = words.skip(1).find_map(|payload| match payload {
        "0" => Some(Codec::Pcmu),
        "8" => Some(Codec::Pcma),
        _ => None,
    })?;
    (port != 0).then_some((port, codec))
}

/// Our end of an audio stream.
#[derive(Debug, Clone, Copy)]
pub struct Local {
    /// Address and port we receive RTP on.
    pub address: SocketAddr,
    /// Session id of the `o=` line.
    pub session: u64,
}

impl Local {
    /// An offer of one codec, and of telephone-events under the number the other leg uses: the relay changes no byte.
    pub fn offer(&self, codec: Codec, dtmf: Option<u8>) -> String {
        self.session() + &self.audio(codec, dtmf)
    }

    fn session(&self) -> String {
        let family = if self.address.is_ipv4() { "IP4" } else { "IP6" };
        let (ip, id) = (self.address.ip(), self.session);
        format!(
            "v=0\r\no=media-double {id} {id} IN {family} {ip}\r\ns=media-double\r\nc=IN {family} {ip}\r\nt=0 0\r\n"
        )
    }

    fn audio(&self, codec: Codec, dtmf: Option<u8>) -> String {
        let (port, payload, name) = (self.address.port(), codec.payload_type(), codec.name());
        let mut lines = match dtmf {
            Some(dtmf) => format!("m=audio {port} RTP/AVP {payload} {dtmf}\r\n"),
            None => format!("m=audio {port} RTP/AVP {payload}\r\n"),
        };
        lines.push_str(&format!("a=rtpmap:{payload} {name}/8000\r\n"));
        if let Some(dtmf) = dtmf {
            lines.push_str(&format!("a=rtpmap:{dtmf} telephone-event/8000\r\na=fmtp:{dtmf} 0-15\r\n"));
        }
        lines.push_str("a=ptime:20\r\na=sendrecv\r\n");
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=u 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
        m=video 7000 RTP/AVP 96\r\na=rtpmap:96 telephone-event/8000\r\n\
        m=audio 6008 RTP/AVP 9 8 0 101\r\nc=IN IP4 10.0.0.2\r\na=rtpmap:101 telephone-event/8000\r\n";

    #[test]
    fn an_offer_is_read_and_mirrored() {
        let remote = Remote::parse(OFFER.as_bytes()).expect("audio we speak");
        assert_eq!(remote.address.to_string(), "10.0.0.2:6008");
        assert_eq!((remote.codec, remote.dtmf), (Codec::Pcma, Some(101)));

        let local = Local { address: "127.0.0.1:20000".parse().expect("address"), session: 7 };
        let answer = remote.answer(&local);
        let media: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(media, ["m=video 0 RTP/AVP 0", "m=audio 20000 RTP/AVP 8 101"]);
        assert_eq!(Remote::parse(answer.as_bytes()).map(|r| r.codec), Some(Codec::Pcma));
    }

    #[test]
    fn what_cannot_be_spoken_is_refused() {
        for bad in [
            "",
            "v=0\r\nm=audio 6000 RTP/AVP 0\r\n",
            "c=IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 0\r\n",
            "c=IN IP4 10.0.0.1\r\nm=audio 6000 RTP/SAVPF 0\r\n",
            "c=IN IP4 10.0.0.1\r\nm=audio 6000 RTP/AVP 96\r\n",
            "c=IN IP4 not-an-ip\r\nm=audio 6000 RTP/AVP 0\r\n",
            "m=",
        ] {
            assert_eq!(Remote::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
