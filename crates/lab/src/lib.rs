//! The laboratory: two real Debian systems on one machine, installed the way an operator installs servers.
//!
//! Architecture invariant: nothing here configures a node. What the package, `tandem apply` and `tandem join` do not do on
//! a server, they do not do here.
#![forbid(unsafe_code)]
