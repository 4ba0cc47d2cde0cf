//! The one source of truth: `cluster.yaml` (what the platform is) and `secrets.yaml` (what only it may know).
//!
//! Everything a node runs with is rendered from these two. Both refuse what they do not understand, with file, line,
//! key, what is wrong and how to mend it.
//!
//! Architecture invariant: no templates, no sockets, no tokio here. The only I/O is reading the two files, because the
//! mode of the secrets file is part of its validity.
#![forbid(unsafe_code)]

mod cluster;
mod demo;
mod engines;
mod failover;
mod init;
mod invariants;
mod network;
mod ports;
mod secrets;

pub use cluster::{Cluster, Identity, Node, PathOverrides, Shape, Sip, Vip};
pub use demo::{Demo, Extension, Ivr, IvrAction, IvrEntry, Queue, Role, Strategy, Trunk};
pub use engines::{
    Cache, Cdr, Durability, Freeswitch, LogFormat, LogLevel, Logging, Postgresql, Redis, Server,
};
pub use failover::{Arbiter, Endpoint, Etcd, FENCE_ADDRESS, FENCE_NODE, Failover, Fence};
pub use init::{NewCluster, dev_cluster_yaml, node_cluster_yaml};
pub use ports::{FIXED as FIXED_PORTS, PORT_OFFSET_MAX, Ports};
pub use secrets::{PASSWORD_CHARS, Secrets, SecretsError};
pub use strictyaml::{Bytes, Error, Limited};

/// The file names beside each other in a cluster's folder.
pub const CLUSTER_FILE: &str = "cluster.yaml";
pub const SECRETS_FILE: &str = "secrets.yaml";
