//! What could not be understood or stored is kept whole, once for each call's uuid, with the reason. This must not fail for any input.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Content, Item};
use crate::transaction::Transaction;
use crate::{Error, Result};

const REASON_CHARS_MAX: usize = 1_000;
const UUID_CHARS_MAX: usize = 256;

pub(super) struct Kept<'a> {
    item: &'a Item,
    reason: Cow<'a, str>,
    source: &'a str,
    uuid: Option<&'a str>,
}

impl<'a> Kept<'a> {
    /// A record that was not understood.
    pub(super) fn poison(item: &'a Item) -> Option<Self> {
        match &item.content {
            Content::Poison { reason, source, uuid } => {
                Some(Self { item, reason: reason.into(), source, uuid: uuid.as_deref() })
            }
            _ => None,
        }
    }

    /// A record that was understood and that the database refused.
    pub(super) fn refused(item: &'a Item, refusal: &Error) -> Self {
        let (source, uuid) = match &item.content {
            Content::Leg(leg) => ("freeswitch", Some(leg.leg_uuid.as_str())),
            Content::Sip(event) => ("kamailio", event.vp_call.as_deref()),
            Content::Poison { source, uuid, .. } => (source.as_str(), uuid.as_deref()),
        };
        Self { item, reason: format!("the database refused it: {refusal}").into(), source, uuid }
    }
}

pub(super) async fn keep(tx: &mut Transaction, kept: &[Kept<'_>]) -> Result<()> {
    let identity = |kept: &Kept<'_>| {
        (Sha256::digest(&kept.item.body).to_vec(), kept.uuid.map(|uuid| storable(uuid, UUID_CHARS_MAX)))
    };
    // In one order, so that two workers with the same documents cannot wait for each other.
    let by_identity: BTreeMap<_, &Kept<'_>> = kept.iter().map(|kept| (identity(kept), kept)).collect();
    for ((sha256, uuid), Kept { item, reason, source, .. }) in by_identity {
        let kept_reason = self::reason(reason);
        let source = storable(source, UUID_CHARS_MAX);
        let node = storable(&item.node, UUID_CHARS_MAX);
        let body: &[u8] = &item.body;
        tx.execute(KEEP, &[&sha256, &body, &kept_reason, &source, &uuid, &node, &item.received]).await?;
    }
    Ok(())
}

/// A reason as it is kept.
pub(crate) fn reason(text: &str) -> String {
    storable(text, REASON_CHARS_MAX)
}

/// PostgreSQL's text takes every character but NUL.
fn storable(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if c == '\0' { '\u{FFFD}' } else { c }).collect()
}

pub(crate) const KEEP: &str =
    "INSERT INTO voip.cdr_quarantine (sha256, body, reason, source, uuid, node, received_at, last_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
     ON CONFLICT (sha256, uuid) DO UPDATE SET times = cdr_quarantine.times + 1,
        last_at = greatest(cdr_quarantine.last_at, EXCLUDED.last_at)";
