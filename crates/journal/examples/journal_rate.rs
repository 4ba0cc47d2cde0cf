//! How many records a second this disk makes durable: `cargo run --release --example journal_rate -- DIRECTORY`.
//!
//! Records of 12 KiB, as FreeSWITCH's CDRs are, appended by 1 to 256 callers for two seconds each.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use journal::{Journal, Limits, Record};

const BODY_BYTES: usize = 12 << 10;
const RUN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = std::env::args().nth(1).context("which directory? It is created, and left behind.")?;
    let (journal, _) = Journal::open(directory, Limits::default())?;
    println!("{:>7} {:>12} {:>12} {:>14}", "callers", "records/s", "fsyncs/s", "mean wait, ms");
    for callers in [1, 4, 16, 64, 256] {
        let before = journal.stats();
        let start = Instant::now();
        let tasks: Vec<_> =
            (0..callers).map(|_| tokio::spawn(keep_appending(journal.clone(), start + RUN))).collect();
        for task in tasks {
            task.await??;
        }
        let seconds = start.elapsed().as_secs_f64();
        let after = journal.stats();
        let records = (after.appended_records - before.appended_records) as f64;
        let fsyncs = (after.group_syncs - before.group_syncs) as f64;
        let wait_ms = seconds * 1000.0 * f64::from(callers) / records;
        println!("{callers:>7} {:>12.0} {:>12.0} {wait_ms:>14.2}", records / seconds, fsyncs / seconds);
        journal.forget(&[1..=after.next_seq - 1]);
    }
    journal.close().await;
    Ok(())
}

async fn keep_appending(journal: Journal, until: Instant) -> Result<(), journal::AppendError> {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    while Instant::now() < until {
        let record = Record { kind: 1, received_us: 0, key: "leg".into(), body: body.clone() };
        journal.append(record).await?;
    }
    Ok(())
}
