//! What PostgreSQL does by itself: streams, makes a reload effective, releases commits.

use crate::log::{self, Log};
use crate::world::{Names, P, World};

impl World {
    /// The log a running standby would stream from.
    pub fn upstream(&self, node: usize) -> Option<Log> {
        let (me, peer) = (&self.nodes[node].pg, &self.nodes[1 - node].pg);
        (me.running && me.signal && me.upstream.is_some() && peer.running && !peer.signal).then_some(peer.log)
    }

    pub fn streams(&self, node: usize) -> bool {
        !self.nodes[node].log_gone
            && self.upstream(node).is_some_and(|log| log.serves(&self.nodes[node].pg.log))
    }

    /// The join under whose name the other node streams from here.
    pub fn follower(&self, node: usize) -> Option<P> {
        self.streams(1 - node).then(|| self.nodes[1 - node].pg.upstream).flatten()
    }

    /// Can a commit be acknowledged here, now or as soon as the stream moves?
    pub fn can_acknowledge(&self, node: usize) -> bool {
        let pg = &self.nodes[node].pg;
        let free = match pg.effective {
            Names::Empty => true,
            Names::Barrier => false,
            Names::Peer(at) => self.follower(node) == Some(at),
        };
        pg.running && !pg.signal && pg.clients && free
    }

    pub fn stream(&mut self, node: usize, lazy: bool) -> bool {
        let Some(log) = self.upstream(node).filter(|_| self.streams(node)) else { return false };
        let pg = &mut self.nodes[node].pg;
        let Some(&record) = log.records().get(pg.log.len() as usize) else { return false };
        pg.log.push(record);
        if !lazy {
            pg.flushed = pg.log.len();
        }
        true
    }

    pub fn absorb(&mut self, node: usize) -> bool {
        let pg = &mut self.nodes[node].pg;
        if !pg.running || pg.names == pg.effective {
            return false;
        }
        pg.effective = pg.names;
        if pg.effective == Names::Empty {
            self.acknowledged |= pg.waiting;
            pg.waiting = 0;
            if let Some(barrier) = &mut self.nodes[node].mind.barrier {
                barrier.returned = true;
            }
        }
        true
    }

    /// Commits that the standby has are released.
    pub fn release(&mut self, node: usize, written_is_enough: bool) -> bool {
        let Names::Peer(at) = self.nodes[node].pg.effective else { return false };
        if self.follower(node) != Some(at) {
            return false;
        }
        let theirs = &self.nodes[1 - node].pg;
        let flushed = if written_is_enough { theirs.log.len() } else { theirs.flushed };
        let pg = &mut self.nodes[node].pg;
        let done: u8 = (1..8)
            .filter(|&id| pg.waiting & (1 << id) != 0 && pg.log.end_of(id) <= flushed)
            .map(|id| 1 << id)
            .sum();
        pg.waiting &= !done;
        self.acknowledged |= done;
        let mut changed = done != 0;
        if let Some(barrier) = self.nodes[node].mind.barrier.as_mut().filter(|it| !it.returned) {
            barrier.returned = barrier.end <= flushed;
            changed |= barrier.returned;
        }
        changed
    }

    /// A client's commit of a new row; `local` does not wait and proves nothing.
    pub fn commit(&mut self, node: usize, record: u8, id: u8, local: bool) -> bool {
        let pg = &mut self.nodes[node].pg;
        if !pg.running || pg.signal || !pg.clients {
            return false;
        }
        pg.log.push(record);
        pg.flushed = pg.log.len();
        if !local {
            if pg.effective == Names::Empty {
                self.acknowledged |= 1 << id;
            } else {
                pg.waiting |= 1 << id;
            }
        }
        true
    }

    pub fn commit_barrier(&mut self, node: usize, at: P) -> bool {
        let pg = &mut self.nodes[node].pg;
        if !pg.running || pg.signal {
            return false;
        }
        // A barrier right behind the same barrier proves the same: one record keeps the state space small.
        if pg.log.records().last() != Some(&log::barrier(at)) {
            pg.log.push(log::barrier(at));
            pg.flushed = pg.log.len();
        }
        let waited = pg.effective != Names::Empty;
        let end = pg.log.len();
        self.nodes[node].mind.barrier = Some(crate::world::Barrier { at, end, waited, returned: !waited });
        true
    }

    /// Stopped or killed: what a clean stop would still stream is streamed before, or not, as the checker likes.
    pub fn kill_postgres(&mut self, node: usize) {
        let me = &mut self.nodes[node];
        me.pg.running = false;
        me.pg.clients = false;
        me.pg.waiting = 0;
        me.pg.effective = me.pg.names;
        me.mind.barrier = None;
        me.mind.noted = None;
    }
}
