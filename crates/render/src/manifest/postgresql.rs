use super::{Do, Of, Template, template};
use Of::Postgresql;

/// What needs more than a reload waits for PostgreSQL's next start (`pending_restart` in pg_settings): a changed file is no
/// reason to stop the database under calls.
const RELOAD: &[Do] = &[Do::Reload("postgresql@V-main.service")];

pub(super) const FILES: &[Template] = &[
    template!("postgresql/postgresql.conf", 0o640).of(Postgresql).then(RELOAD),
    template!("postgresql/pg_hba.conf", 0o640).of(Postgresql).then(RELOAD),
    template!("postgresql/pg_hba_closed.conf", 0o640, NodeAndLab).of(Postgresql).then(RELOAD),
    template!("postgresql/pg_ident.conf", 0o640, NodeAndLab).of(Postgresql).then(RELOAD),
    template!("postgresql/start.conf", 0o644, NodeAndLab).of(Postgresql),
];
