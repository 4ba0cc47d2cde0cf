//! Numbers for people.

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// `1.5 GiB`, `312 KiB`, `0 B`.
pub fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut whole = count;
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if whole < 10 && unit > 0 { format!("{whole}.{tenths} {name}") } else { format!("{whole} {name}") }
}

/// `8 s`, `3 min`, `5 h`, `12 d`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_is_enough() {
        for (count, words) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (52_428_800, "50 MiB"),
            (9_663_676_416, "9.0 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(count), words);
        }
        assert_eq!(
            [span(0), span(119), span(130), span(7_200), span(200_000)],
            ["0 s", "119 s", "2 min", "2 h", "2 d"]
        );
    }
}
