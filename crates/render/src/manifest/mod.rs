//! Which files a node has. A template stands in `templates/` under the very path its output has, and is listed in its
//! engine's file here with its mode.

mod freeswitch;
mod kamailio;
mod media_double;
mod postgresql;
mod redis;
mod voip_admin;

use spec::Shape;

/// A file to render.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// Below `templates/`, and below the output folder.
    pub path: &'static str,
    pub source: &'static str,
    pub mode: u32,
    pub when: When,
}

/// The shapes that have a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    DevOnly,
    /// Never on a server: the media double is a test program.
    DevAndLab,
    /// Included by other templates, never written.
    Partial,
}

impl When {
    pub(crate) fn applies(self, shape: Shape) -> bool {
        match self {
            Self::Always => true,
            Self::DevOnly => shape == Shape::Dev,
            Self::DevAndLab => shape != Shape::Node,
            Self::Partial => false,
        }
    }
}

/// `template!("redis/redis.conf", 0o600)`, or with a third argument the [`When`] it is not [`When::Always`].
macro_rules! template {
    ($path:literal, $mode:literal) => {
        $crate::manifest::template!($path, $mode, Always)
    };
    ($path:literal, $mode:literal, $when:ident) => {
        $crate::manifest::Template {
            path: $path,
            source: include_str!(concat!("../../templates/", $path)),
            mode: $mode,
            when: $crate::manifest::When::$when,
        }
    };
}
pub(crate) use template;

/// Every template, engine by engine, in the order the engines start.
pub fn templates() -> impl Iterator<Item = &'static Template> {
    [
        postgresql::FILES,
        redis::FILES,
        voip_admin::FILES,
        freeswitch::FILES,
        media_double::FILES,
        kamailio::FILES,
    ]
    .into_iter()
    .flatten()
}
