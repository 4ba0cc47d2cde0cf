use super::{Do, Of, Template, template};
use Of::{Postgresql, VoipAdmin};

const RESTART: &[Do] = &[Do::Restart("voip-admin.service")];

/// The last two are for `voipadmind bootstrap`, which runs as the database's superuser, known by the unix socket.
pub(super) const FILES: &[Template] = &[
    template!("voip-admin/config.yaml", 0o600).of(VoipAdmin).then(RESTART),
    template!("voip-admin/bootstrap.yaml", 0o600).of(Postgresql).then(&[]),
    template!("voip-admin/seed.yaml", 0o600).of(Postgresql).then(&[]),
];
