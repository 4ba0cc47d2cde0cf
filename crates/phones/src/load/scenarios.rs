//! The scenarios SIPp plays, and the fields of their calls.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use super::mix::Kind;
use crate::Env;

const CALLER: &str = include_str!("scenarios/caller.xml");
const ANSWER: &str = include_str!("scenarios/answer.xml");
const REGISTER: &str = include_str!("scenarios/register.xml");

/// The demo queue's extension.
const QUEUE: &str = "8001";
/// The demo menu's.
const IVR: &str = "9001";
/// A phone rings so long before it answers.
const RING: Duration = Duration::from_millis(300);
/// How long a call may take to be answered.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Answers that refuse an INVITE. SIPp has no wildcard, and takes a BYE for the right answer to one it does not know.
const REFUSALS: [u16; 36] = [
    300, 301, 302, 400, 401, 403, 404, 405, 406, 408, 410, 413, 415, 420, 480, 481, 482, 483, 484, 485, 486,
    487, 488, 489, 491, 493, 500, 501, 502, 503, 504, 513, 600, 603, 604, 606,
];

/// A caller who holds a call for `hold`.
pub fn caller(hold: Duration, media_port: u16) -> String {
    let refusals: String = REFUSALS
        .iter()
        .map(|code| format!("  <recv response=\"{code}\" optional=\"true\" next=\"refused\"/>\n"))
        .collect();
    CALLER
        .replace("@REFUSALS@\n", &refusals)
        .replace("@ANSWER_MS@", &ANSWER_MAX.as_millis().to_string())
        .replace("@HOLD_MS@", &hold.as_millis().to_string())
        .replace("@MEDIA_PORT@", &media_port.to_string())
}

/// Phones that answer, and wait for `talk` at most to be hung up.
pub fn answer(talk: Duration, media_port: u16) -> String {
    ANSWER
        .replace("@RING_MS@", &RING.as_millis().to_string())
        .replace("@TALK_MS@", &talk.as_millis().to_string())
        .replace("@MEDIA_PORT@", &media_port.to_string())
}

/// A phone that registers.
pub fn register() -> &'static str {
    REGISTER
}

/// A line for each of `count` calls of a kind: phones call in turn, and each every other.
pub fn calls(env: &Env, kind: Kind, count: u32) -> String {
    let phones = env.phones.len();
    let mut lines = String::new();
    for call in 0..count as usize {
        let caller = call % phones;
        let number = match kind {
            // Never itself: the distance is 1 to phones - 1, another one in each round.
            Kind::Direct => env.phones[(caller + 1 + call / phones % (phones - 1)) % phones].0.as_str(),
            Kind::Queue => QUEUE,
            Kind::Ivr => IVR,
        };
        let _infallible = writeln!(lines, "{}{number}", identity(env, caller));
    }
    lines
}

/// A line for each phone, whose calls are answered at `answers`.
pub fn registrations(env: &Env, expires_s: u32, answers: SocketAddr) -> String {
    let mut lines = String::new();
    for phone in 0..env.phones.len() {
        let _infallible = writeln!(lines, "{}{expires_s};{answers}", identity(env, phone));
    }
    lines
}

/// The first three fields of a line.
fn identity(env: &Env, phone: usize) -> String {
    let (user, password) = &env.phones[phone];
    format!("{user};{};[authentication username={user} password={password}];", env.domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_calls_itself_and_everybody_is_called() {
        let mut env = Env::for_tests();
        env.phones = (1..=10).map(|n| (format!("10{n:02}"), "secret".into())).collect();
        let lines = calls(&env, Kind::Direct, 90);
        let mut pairs: Vec<(&str, &str)> = lines
            .lines()
            .map(|line| (line.split(';').next().unwrap(), line.rsplit(';').next().unwrap()))
            .collect();
        assert!(pairs.iter().all(|(from, to)| from != to), "{lines}");
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 90, "every phone calls every other once");
        env.phones.truncate(2);
        assert!(calls(&env, Kind::Direct, 5).lines().next().unwrap().ends_with(";1002"));
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let hold = Duration::from_secs(9);
        for text in [caller(hold, 4000), answer(hold, 4000), register().to_owned()] {
            for line in text.lines() {
                assert!(
                    !line.contains("_MS@") && !line.contains("@MEDIA") && !line.contains("@REF"),
                    "{line}"
                );
            }
        }
        assert!(caller(hold, 4000).contains("timeout=\"9000\""));
    }
}
