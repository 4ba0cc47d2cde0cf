use super::{Do, Of, Template, template};
use Of::MediaDouble;

const RESTART: &[Do] = &[Do::Restart("tandem-media-double.service")];

pub(super) const FILES: &[Template] = &[
    template!("media-double/config.yaml", 0o640, DevAndLab).of(MediaDouble).then(RESTART),
    template!("media-double/password", 0o600, DevAndLab).of(MediaDouble).then(RESTART),
];
