use super::{Do, Of, Template, template};
use Of::VoipAdmin;

const RESTART: &[Do] = &[Do::Restart("voip-admin.service")];

/// The last two are for `voipadmind bootstrap`, which root runs and the unix socket knows as the database's superuser. Not
/// its system user's: a superuser of the database reads what that user may (`pg_read_file`).
pub(super) const FILES: &[Template] = &[
    template!("voip-admin/config.yaml", 0o600).of(VoipAdmin).then(RESTART),
    template!("voip-admin/bootstrap.yaml", 0o600).then(&[]),
    template!("voip-admin/seed.yaml", 0o600).then(&[]),
];
