use super::{Template, template};

pub(super) const FILES: &[Template] = &[
    template!("media-double/config.yaml", 0o640, DevAndLab),
    template!("media-double/password", 0o600, DevAndLab),
];
