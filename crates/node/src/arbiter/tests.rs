//! On a real etcd and real programs.

mod fences;
mod races;
mod registers;

use std::time::{Duration, Instant};

use spec::Endpoint;
use testkit::Etcd as Server;
use uuid::Uuid;

use super::{ETCD_ANSWER_MAX, Error, Etcd};

/// On a busy machine a thread is late.
const LATE: Duration = Duration::from_millis(500);

fn spec(server: &Server) -> spec::Etcd {
    let endpoints = server.addresses().into_iter().map(Endpoint).collect();
    spec::Etcd { endpoints, prefix: spec::Etcd::default_prefix(), user: None }
}

fn client(server: &Server) -> Etcd {
    Etcd::new(&spec(server), Uuid::from_u128(7), &[], None)
}

fn register(epoch: u64, owner: &str) -> fsm::Register {
    fsm::Register { epoch, owner: owner.into() }
}

/// Asked until there is an answer: an election may be going on.
async fn settled(etcd: &Etcd) -> Option<fsm::Register> {
    let began = Instant::now();
    loop {
        match etcd.read().await {
            Ok(register) => return register,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
