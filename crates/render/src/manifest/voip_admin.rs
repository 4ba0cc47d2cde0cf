use super::{Template, template};

pub(super) const FILES: &[Template] = &[
    template!("voip-admin/config.yaml", 0o600),
    template!("voip-admin/bootstrap.yaml", 0o600),
    template!("voip-admin/seed.yaml", 0o600),
];
