//! What happened to each call, from SIPp's trace of short messages (`-trace_shortmsg`).
//!
//! A line a message, tab-separated: date, time, seconds since the epoch with six decimals, `S` sent or `R` received,
//! Call-ID, `CSeq:2 INVITE`, the first line. SIPp's own counters would not do: they know no status codes.

use std::collections::HashMap;
use std::io::{self, BufRead};

/// Messages read of one trace; 800 calls make about 20,000.
const MESSAGES_MAX: usize = 2_000_000;

/// A transaction of INVITE or REGISTER with all that followed under its Call-ID. Times are microseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met {
    /// The first request was sent.
    pub began: i64,
    /// 180 or 183 came.
    pub rang: Option<i64>,
    /// 2xx came.
    pub answered: Option<i64>,
    /// A BYE was sent or came.
    pub ended: Option<i64>,
    /// The BYE came: the other side hung up.
    pub ended_there: bool,
    /// Our BYE was answered, or we answered theirs.
    pub end_confirmed: bool,
    /// `503 No Media Server`: a final answer that is neither a success nor a challenge.
    pub refused: Option<String>,
    /// The first request was repeated, or any after it.
    pub repeats: u32,
    /// The request that was sent last, with its number: what is sent twice is a repeat.
    pub last_sent: String,
}

impl Met {
    /// Until the phone said that it rings, or that it is answered.
    pub fn post_dial_us(&self) -> Option<i64> {
        let said = match (self.rang, self.answered) {
            (Some(rang), Some(answered)) => rang.min(answered),
            (rang, answered) => rang.or(answered)?,
        };
        Some(said - self.began)
    }

    /// Until the final 2xx.
    pub fn answered_us(&self) -> Option<i64> {
        Some(self.answered? - self.began)
    }

    fn sent(&mut self, time: i64, cseq: &str, first: &str) {
        if !first.starts_with("SIP/2.0") && !cseq.ends_with("ACK") {
            if self.last_sent == cseq {
                self.repeats += 1;
            }
            cseq.clone_into(&mut self.last_sent);
        }
        if first.starts_with("BYE ") && self.ended.is_none() {
            self.ended = Some(time);
        }
        if first.starts_with("SIP/2.0 200") && cseq.ends_with("BYE") {
            self.end_confirmed = true;
        }
    }

    fn received(&mut self, time: i64, cseq: &str, first: &str) {
        let Some(status) = first.strip_prefix("SIP/2.0 ") else {
            if first.starts_with("BYE ") && self.ended.is_none() {
                (self.ended, self.ended_there) = (Some(time), true);
            }
            return;
        };
        let code: u16 = status.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or_default();
        if cseq.ends_with("BYE") {
            self.end_confirmed |= code == 200;
            return;
        }
        match code {
            101..=199 if self.rang.is_none() => self.rang = Some(time),
            200..=299 if self.answered.is_none() => self.answered = Some(time),
            // The first challenge is how it goes; a second one refuses.
            401 | 407 if cseq.starts_with("1 ") => {}
            300.. if self.refused.is_none() => self.refused = Some(status.to_owned()),
            _ => {}
        }
    }
}

/// Every Call-ID of the trace.
///
/// # Errors
/// It cannot be read, or is longer than any run of ours.
pub fn read(trace: impl BufRead) -> io::Result<HashMap<String, Met>> {
    let mut calls: HashMap<String, Met> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        if number >= MESSAGES_MAX {
            return Err(io::Error::other(format!("more than {MESSAGES_MAX} messages")));
        }
        // A line that is being written has not all its fields.
        let line = line?;
        let Some(message) = Message::of(&line) else { continue };
        let met = calls
            .entry(message.call_id.to_owned())
            .or_insert_with(|| Met { began: message.time, ..Met::default() });
        match message.sent {
            true => met.sent(message.time, message.cseq, message.first),
            false => met.received(message.time, message.cseq, message.first),
        }
    }
    Ok(calls)
}

struct Message<'a> {
    time: i64,
    sent: bool,
    call_id: &'a str,
    /// `2 INVITE`.
    cseq: &'a str,
    first: &'a str,
}

impl<'a> Message<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(7, '\t').skip(2);
        let (seconds, micros) = fields.next()?.split_once('.')?;
        let time = seconds.parse::<i64>().ok()? * 1_000_000 + micros.parse::<i64>().ok()?;
        let sent = match fields.next()? {
            "S" => true,
            "R" => false,
            _ => return None,
        };
        let call_id = fields.next()?;
        let cseq = fields.next()?.strip_prefix("CSeq:")?.trim();
        Some(Self { time, sent, call_id, cseq, first: fields.next()?.trim_end() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by SIPp 3.6.1 against a dev node.
    const CAPTURED: &str = include_str!("captured/caller.short");

    #[test]
    fn a_captured_trace_tells_what_each_call_met() {
        let calls = read(CAPTURED.as_bytes()).unwrap();
        assert_eq!(calls.len(), 5);
        let direct = &calls["tl-x-1"];
        assert_eq!(direct.post_dial_us(), Some(16_162));
        assert_eq!(direct.answered_us(), Some(320_568));
        assert!(direct.end_confirmed && !direct.ended_there && direct.refused.is_none(), "{direct:?}");
        assert_eq!(calls["tl-x-2"].post_dial_us(), Some(40_782), "answered without ringing");
        let refused = &calls["tl-x-4"];
        assert_eq!(refused.refused.as_deref(), Some("404 No Such Extension"));
        assert_eq!((refused.answered, refused.repeats), (None, 0));
        assert_eq!(calls["tl-x-5"].repeats, 2, "its INVITE was sent three times");
    }

    #[test]
    fn a_call_the_other_side_ends_is_told_apart() {
        let trace = "d\tt\t10.000001\tR\tx\tCSeq:7 BYE\tBYE sip:x SIP/2.0\n\
            d\tt\t10.000002\tS\tx\tCSeq:7 BYE\tSIP/2.0 200 OK\n";
        let calls = read(trace.as_bytes()).unwrap();
        assert!(calls["x"].ended_there && calls["x"].end_confirmed, "{calls:?}");
    }

    #[test]
    fn a_second_challenge_refuses_and_half_a_line_is_nothing() {
        let line = |cseq, first| format!("d\tt\t10.000001\tR\tx\t{cseq}\t{first}\n");
        let trace = [
            line("CSeq:1 INVITE", "SIP/2.0 407 Proxy Authentication Required"),
            line("CSeq:2 INVITE", "SIP/2.0 407 Proxy Authentication Required"),
            "d\tt\t10.0".to_owned(),
        ];
        let calls = read(trace.concat().as_bytes()).unwrap();
        assert_eq!(calls["x"].refused.as_deref(), Some("407 Proxy Authentication Required"));
    }
}
