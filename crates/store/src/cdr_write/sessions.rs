//! Which of FreeSWITCH's sessions the documents of a batch are the records of, so that what never came can be told
//! ([`crate::sessions`]).

use jiff::Timestamp;
use model::LegSource;

use super::{Content, Item};
use crate::Result;
use crate::transaction::Transaction;

/// In the transaction that stores the legs, or keeps them in quarantine.
pub(super) async fn note(tx: &mut Transaction, items: &[Item]) -> Result<()> {
    let (mut nodes, mut cores, mut numbers): (Vec<&str>, Vec<&str>, Vec<i64>) = Default::default();
    let mut received = Timestamp::MIN;
    for item in items {
        let Content::Leg(leg) = &item.content else { continue };
        // That a channel was answered is no record of it.
        if leg.provisional || leg.source != LegSource::Freeswitch {
            continue;
        }
        let (Some(core), Some(number)) = (&leg.core_uuid, leg.session_id) else { continue };
        nodes.push(&item.node);
        cores.push(core);
        numbers.push(number);
        received = received.max(item.received);
    }
    if numbers.is_empty() {
        return Ok(());
    }
    tx.execute(NOTE, &[&nodes, &cores, &numbers, &received]).await.map(drop)
}

pub(crate) const NOTE: &str = "INSERT INTO voip.cdr_sessions (node, core_uuid, hour, told, numbers)
    SELECT min(r.node), r.core_uuid, date_trunc('hour', $4::timestamptz, 'UTC'), 'document',
           range_agg(int8range(r.number, r.number, '[]'))
      FROM unnest($1::text[], $2::text[], $3::int8[]) AS r (node, core_uuid, number) GROUP BY r.core_uuid";
