//! What a machine has, and how the engines share it: the seed's 2.2 (24 cores, 96 GiB), in proportion.
//!
//! | | cores of 24 | memory of 96 GiB |
//! |---|---|---|
//! | PostgreSQL | 8 | 24 |
//! | FreeSWITCH | 6 | 16 |
//! | Kamailio | 4 | 8 |
//! | voipadmind | 2 | 8 |
//! | Redis | 1 | 4 |
//! | the system and its page cache | 3 | 36 |
//!
//! What `cluster.yaml` says wins. Every size has a least, below which the engine does not run well, and some a most.

use serde::Serialize;
use spec::{Bytes, Cluster, Shape};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Below it everybody needs every core: pinning would only make them wait.
const PINNED_CORES_MIN: u32 = 8;
/// Pinning names each core in a mask of the kernel's.
const CORES_MAX: u32 = 1024;

/// A machine's cores and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub cores: u32,
    pub memory_bytes: u64,
}

impl Default for Machine {
    /// The smallest that is worth installing on.
    fn default() -> Self {
        Self { cores: 2, memory_bytes: 4 * GIB }
    }
}

/// PostgreSQL's and Redis' sizes, all of them known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sizes {
    pub shared_buffers: u64,
    pub effective_cache_size: u64,
    pub work_mem: u64,
    pub maintenance_work_mem: u64,
    pub max_wal_size: u64,
    pub redis_maxmemory: u64,
}

/// The most each service may take (`MemoryMax=`): a leak ends that service, not the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryMax {
    pub postgresql: u64,
    pub freeswitch: u64,
    pub kamailio: u64,
    pub voip_admin: u64,
    pub redis: u64,
}

/// First and last core of each service, as `CPUAffinity=` takes them (`6-13`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cores {
    pub freeswitch: String,
    pub postgresql: String,
    pub kamailio: String,
    pub voip_admin: String,
    pub redis: String,
}

impl Machine {
    /// A lab's containers share their machine with each other and with the phones that call them.
    pub(crate) fn share_of(self, cluster: &Cluster) -> Self {
        match cluster.shape {
            Shape::Lab => Self { memory_bytes: self.memory_bytes / 4, ..self },
            Shape::Dev | Shape::Node => self,
        }
    }

    /// The sizes `cluster` says, and for the rest this machine's.
    pub fn sizes(self, cluster: &Cluster) -> Sizes {
        let of = |written: Option<Bytes>, computed: u64| written.map_or(computed, |bytes| bytes.0);
        let memory = self.memory_bytes;
        let written = &cluster.postgresql;
        let postgresql = memory / 4;
        let shared_buffers = of(written.shared_buffers, whole_mib(postgresql / 3 * 2).max(128 * MIB));
        // Half of what is left, if every connection sorts at once.
        let left = postgresql.saturating_sub(shared_buffers) / 2;
        Sizes {
            shared_buffers,
            effective_cache_size: of(
                written.effective_cache_size,
                whole_mib(shared_buffers + memory / 16 * 3).max(256 * MIB),
            ),
            work_mem: of(
                written.work_mem,
                whole_mib(left / written.max_connections.get()).clamp(4 * MIB, 64 * MIB),
            ),
            maintenance_work_mem: of(
                written.maintenance_work_mem,
                whole_mib(memory / 96).clamp(64 * MIB, GIB),
            ),
            max_wal_size: of(written.max_wal_size, whole_mib(memory / 24).clamp(GIB, 8 * GIB)),
            redis_maxmemory: of(cluster.redis.maxmemory, whole_mib(memory / 24).clamp(128 * MIB, 16 * GIB)),
        }
    }

    /// The most each service may take; never less than what its own sizes ask for.
    pub fn memory_max(self, sizes: &Sizes) -> MemoryMax {
        let share = |parts_of_96: u64, least: u64| whole_mib(self.memory_bytes / 96 * parts_of_96).max(least);
        MemoryMax {
            postgresql: share(24, GIB).max(whole_mib(sizes.shared_buffers * 3 / 2) + 512 * MIB),
            freeswitch: share(16, GIB),
            kamailio: share(8, 1536 * MIB),
            voip_admin: share(8, 512 * MIB),
            // Rewriting the append-only file can copy every page.
            redis: sizes.redis_maxmemory * 2 + 256 * MIB,
        }
    }

    /// Who runs where; none where there are too few cores to give any of them away.
    pub fn pinning(self) -> Option<Cores> {
        if !(PINNED_CORES_MIN..=CORES_MAX).contains(&self.cores) {
            return None;
        }
        let mut next = 0;
        let mut take = |parts_of_24: u32| {
            let count = (self.cores * parts_of_24 / 24).max(1);
            let (first, last) = (next, next + count - 1);
            next += count;
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        Some(Cores {
            freeswitch: take(6),
            postgresql: take(8),
            kamailio: take(4),
            voip_admin: take(2),
            redis: take(1),
        })
    }
}

fn whole_mib(bytes: u64) -> u64 {
    bytes / MIB * MIB
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]
    use super::*;

    fn cluster(from: &str, to: &str) -> Cluster {
        let text = spec::dev_cluster_yaml(uuid::Uuid::nil(), "t", &spec::Ports::dev(0));
        let sizes =
            ["shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size"];
        let bare: String = text
            .lines()
            .filter(|l| {
                !sizes.iter().chain(&["maxmemory"]).any(|s| l.trim_start().starts_with(&format!("{s}:")))
            })
            .map(|l| format!("{}\n", if l == "redis:" { "redis: {}" } else { l }))
            .collect();
        Cluster::parse("c", &bare.replace(from, to)).unwrap()
    }

    fn machine(cores: u32, gib: u64) -> Machine {
        Machine { cores, memory_bytes: gib * GIB }
    }

    #[test]
    fn the_seeds_machine_is_divided_as_the_seed_says() {
        let m = machine(24, 96);
        let sizes = m.sizes(&cluster("x", "x"));
        assert_eq!((sizes.shared_buffers, sizes.redis_maxmemory), (16 * GIB, 4 * GIB));
        assert_eq!((sizes.effective_cache_size, sizes.max_wal_size), (34 * GIB, 4 * GIB));
        assert_eq!((sizes.work_mem, sizes.maintenance_work_mem), (13 * MIB, GIB));
        let most = m.memory_max(&sizes);
        assert_eq!((most.freeswitch, most.kamailio, most.voip_admin), (16 * GIB, 8 * GIB, 8 * GIB));
        assert_eq!((most.postgresql, most.redis), (24 * GIB + 512 * MIB, 8 * GIB + 256 * MIB));
        let cores = m.pinning().unwrap();
        assert_eq!((cores.freeswitch.as_str(), cores.postgresql.as_str()), ("0-5", "6-13"));
        assert_eq!((cores.kamailio.as_str(), cores.voip_admin.as_str()), ("14-17", "18-19"));
        assert_eq!(cores.redis, "20");
    }

    #[test]
    fn a_small_machine_keeps_what_the_engines_need() {
        for gib in [1, 2, 4] {
            let m = machine(2, gib);
            let sizes = m.sizes(&cluster("x", "x"));
            assert!(sizes.shared_buffers >= 128 * MIB && sizes.work_mem >= 4 * MIB);
            assert!(sizes.redis_maxmemory >= 128 * MIB && sizes.maintenance_work_mem >= 64 * MIB);
            assert!(m.memory_max(&sizes).postgresql > sizes.shared_buffers * 3 / 2);
            assert_eq!(m.pinning(), None);
        }
        assert_eq!(Machine::default().pinning(), None);
    }

    #[test]
    fn what_is_written_wins() {
        let c = cluster("max_connections: 300", "max_connections: 300\n  shared_buffers: 200MiB");
        assert_eq!(machine(64, 512).sizes(&c).shared_buffers, 200 * MIB);
        assert!(machine(64, 512).sizes(&c).work_mem <= 64 * MIB);
    }

    proptest::proptest! {
        #[test]
        fn no_core_is_given_twice_or_invented(cores in 1u32..2000) {
            if let Some(pinning) = machine(cores, 8).pinning() {
                let mut next = 0;
                for range in [pinning.freeswitch, pinning.postgresql, pinning.kamailio, pinning.voip_admin, pinning.redis] {
                    let (first, last) = range.split_once('-').unwrap_or((&range, &range));
                    let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
                    proptest::prop_assert!(first == next && last >= first);
                    next = last + 1;
                }
                proptest::prop_assert!(next < cores, "the system has none left");
            }
        }

        #[test]
        fn sizes_fit_the_machine(gib in 4u64..2048) {
            let m = machine(8, gib);
            let sizes = m.sizes(&cluster("x", "x"));
            proptest::prop_assert!(sizes.shared_buffers + sizes.redis_maxmemory < m.memory_bytes / 2);
            proptest::prop_assert!(sizes.effective_cache_size < m.memory_bytes);
        }
    }
}
