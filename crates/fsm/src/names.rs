//! Names that bind a standby to one join of one epoch, so that an acknowledgement of another life counts for nothing.

use std::fmt;

use crate::Point;

/// A name no standby ever has: while it stands in `synchronous_standby_names`, every commit waits.
pub const BARRIER: &str = "tandem_barrier";

/// A standby's `application_name`, and the only name its primary waits for: `<node>_e<epoch>_j<join>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby<'a> {
    pub node: &'a str,
    pub at: Point,
}

impl fmt::Display for Standby<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_e{}_j{}", self.node, self.at.epoch, self.at.join)
    }
}

/// The replication slot of a node on the other: `tandem_<node>`. PostgreSQL takes a-z, 0-9 and `_` in slot names.
pub fn slot(node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("tandem_{}", node.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_s_name_says_its_join_and_a_slot_s_name_is_one_postgresql_takes() {
        let name = Standby { node: "n2", at: Point { epoch: 3, join: 7 } };
        assert_eq!(name.to_string(), "n2_e3_j7");
        assert_eq!(slot("Node-2"), "tandem_node_2");
        assert_ne!(name.to_string(), BARRIER);
    }
}
