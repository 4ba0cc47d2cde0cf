//! A recording, as FreeSWITCH tells of it: when the file is closed, and in the CDR of the leg it was made on.

/// Bytes of a path under a node's tree at most; the column takes 500.
const PATH_BYTES_MAX: usize = 255;

/// What the dialplan recorded on a leg. The file is the truth: length and size of it are measured there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Under the tree of the node that carried the leg: `YYYY/MM/DD/<uuid>.wav`, the day in UTC.
    pub path: String,
    /// Milliseconds, as FreeSWITCH counted them (`record_ms`).
    pub ms: Option<i64>,
    /// Bytes, as FreeSWITCH counted them (`record_file_size`).
    pub bytes: Option<i64>,
}

impl Recording {
    /// Reads `vp_recording`, the whole path the dialplan wrote to. Only the last four parts are taken, and only in the form
    /// the dialplan makes: where the tree is, each node knows by itself.
    pub(crate) fn at(vp_recording: &str, ms: Option<i64>, bytes: Option<i64>) -> Option<Self> {
        let mut parts = vp_recording.rsplitn(5, '/');
        let (file, day, month, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        let dated = digits(year, 4) && digits(month, 2) && digits(day, 2);
        let stem = file.strip_suffix(".wav").filter(|stem| !stem.is_empty() && !stem.starts_with('.'));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let path = format!("{year}/{month}/{day}/{file}");
        let good = dated
            && path.len() <= PATH_BYTES_MAX
            && !path.contains("..")
            && stem.is_some_and(|stem| stem.bytes().all(plain));
        let count = |it: Option<i64>| it.filter(|it| *it >= 0);
        good.then_some(Self { path, ms: count(ms), bytes: count(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_dialplans_own_form_only() {
        let path = |text: &str| Recording::at(text, None, None).map(|it| it.path);
        let good = "/storage/recordings/n1/2026/11/22/7f90c027-e898-4472-8054-9ad52d680954.wav";
        assert_eq!(path(good).as_deref(), Some("2026/11/22/7f90c027-e898-4472-8054-9ad52d680954.wav"));
        for bad in [
            "",
            "x.wav",
            "11/22/x.wav",
            "/storage/recordings/n1/2026/11/22/.wav",
            "/storage/recordings/n1/2026/11/22/..wav",
            "/storage/recordings/n1/2026/11/22/a..b.wav",
            "/storage/recordings/n1/2026/11/22/x.mp3",
            "/storage/recordings/n1/2026/11/../x.wav",
            "/storage/recordings/n1/2026/11/22/a b.wav",
            "/storage/recordings/n1/20x6/11/22/a.wav",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
        assert_eq!(path(&format!("/r/n1/2026/11/22/{}.wav", "x".repeat(300))), None);
        let counted = Recording::at(good, Some(-1), Some(-1)).unwrap();
        assert_eq!((counted.ms, counted.bytes), (None, None));
    }
}
