use super::{Do, Of, Template, template};
use Of::Redis;

const RESTART: &[Do] = &[Do::Restart("redis-server.service")];

pub(super) const FILES: &[Template] = &[template!("redis/redis.conf", 0o600).of(Redis).then(RESTART)];
