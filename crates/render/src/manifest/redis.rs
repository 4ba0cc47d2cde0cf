use super::{Template, template};

pub(super) const FILES: &[Template] = &[template!("redis/redis.conf", 0o600)];
