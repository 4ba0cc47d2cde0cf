use super::{Template, template};

pub(super) const FILES: &[Template] =
    &[template!("postgresql/postgresql.conf", 0o640), template!("postgresql/pg_hba.conf", 0o640)];
