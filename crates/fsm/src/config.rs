//! What the table must know that does not change while a node runs.

#[cfg(feature = "mutations")]
use crate::Mutation;

/// Who, besides the two nodes, has a say in a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arbiter {
    /// Nobody: a standby takes over freely, a primary goes solo only by a give-up or a person's word.
    None,
    /// A command that powers the peer off: whoever goes on alone fences first.
    Fence,
    /// Three members or more: whoever takes the next epoch wins it there first.
    Etcd,
}

#[derive(Debug, Clone)]
pub struct Config {
    /// The other node's name.
    pub peer: String,
    pub arbiter: Arbiter,
    #[cfg(feature = "mutations")]
    pub mutation: Option<Mutation>,
}

impl Config {
    pub fn new(peer: &str, arbiter: Arbiter) -> Self {
        Self {
            peer: peer.into(),
            arbiter,
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }
}

/// True where the named rule is to be broken; the constant `false` in a program.
#[cfg(feature = "mutations")]
macro_rules! broken {
    ($config:expr, $mutation:ident) => {
        $config.mutation == Some(crate::Mutation::$mutation)
    };
}
#[cfg(not(feature = "mutations"))]
macro_rules! broken {
    ($config:expr, $mutation:ident) => {{
        let _ = &$config;
        false
    }};
}
pub(crate) use broken;
