//! What every template sees: `cluster.yaml` as it is, the secrets, and where things are on this node.

use serde::Serialize;
use spec::{Cluster, Identity, Node, Secrets, Shape, Vip};

use crate::{Layout, Paths, RenderError, Users};

/// The templates' variables, the same for all of them. A template that names anything else does not render.
///
/// Lengths of time are text with their unit (`30s`); sizes are bytes, to be divided by the unit that is written.
#[derive(Serialize)]
pub struct Context<'a> {
    cluster: &'a Identity,
    /// `dev`, `lab` or `node`.
    shape: Shape,
    node: &'a Node,
    /// None on a single node.
    peer: Option<&'a Node>,
    vip: Option<&'a Vip>,
    ports: &'a spec::Ports,
    paths: &'a Paths,
    users: &'a Users,
    secrets: &'a Secrets,
    sip: &'a spec::Sip,
    postgresql: &'a spec::Postgresql,
    redis: &'a spec::Redis,
    server: &'a spec::Server,
    cdr: &'a spec::Cdr,
    cache: &'a spec::Cache,
    logging: &'a spec::Logging,
    freeswitch: &'a spec::Freeswitch,
    demo: &'a spec::Demo,
}

impl<'a> Context<'a> {
    /// The context of one node.
    ///
    /// # Errors
    /// [`RenderError::UnknownNode`].
    pub fn new(
        cluster: &'a Cluster,
        secrets: &'a Secrets,
        node: &str,
        layout: &'a Layout,
    ) -> Result<Self, RenderError> {
        let unknown = || RenderError::UnknownNode {
            asked: node.into(),
            known: cluster.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        Ok(Self {
            cluster: &cluster.cluster,
            shape: cluster.shape,
            node: cluster.node(node).ok_or_else(unknown)?,
            peer: cluster.peer_of(node),
            vip: cluster.vip.as_ref(),
            ports: &cluster.ports,
            paths: &layout.paths,
            users: &layout.users,
            secrets,
            sip: &cluster.sip,
            postgresql: &cluster.postgresql,
            redis: &cluster.redis,
            server: &cluster.server,
            cdr: &cluster.cdr,
            cache: &cluster.cache,
            logging: &cluster.logging,
            freeswitch: &cluster.freeswitch,
            demo: &cluster.demo,
        })
    }
}
