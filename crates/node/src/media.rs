//! Which program carries media on a node: FreeSWITCH, or in a lab without it the media double.

use std::path::{Path, PathBuf};

use render::Layout;

/// Allows the media double, beside cluster.yaml.
const LAB_MARKER: &str = "lab";

pub fn freeswitch(layout: &Layout) -> PathBuf {
    layout.paths.freeswitch_prefix.join("bin/freeswitch")
}

/// Whether the lab's test program stands in for FreeSWITCH; `etc` is where cluster.yaml is.
pub fn is_double(etc: &Path, layout: &Layout) -> bool {
    etc.join(LAB_MARKER).exists() && !freeswitch(layout).exists()
}
