//! Kamailio's evidence: events merge into their dialog's row, and a dialog that never touched FreeSWITCH becomes a leg.

use std::collections::BTreeMap;

use model::Leg;
use model::sip_event::{Dialog, SipEvent};

use super::{Content, Item};
use crate::transaction::Transaction;
use crate::{Error, Result};

/// A leg made of a dialog, and the node that told of it.
pub(super) struct Direct {
    pub(super) leg: Leg,
    pub(super) node: String,
}

pub(super) fn events(items: &[Item]) -> Vec<(&SipEvent, &str)> {
    items
        .iter()
        .filter_map(|item| match &item.content {
            Content::Sip(event) => Some((&**event, item.node.as_str())),
            _ => None,
        })
        .collect()
}

/// Merges the events into what is stored, and answers the legs of the direct calls among them as known now.
pub(super) async fn merge(tx: &mut Transaction, events: &[(&SipEvent, &str)]) -> Result<Vec<Direct>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut dialogs: BTreeMap<(String, String), (Dialog, String)> = BTreeMap::new();
    for (event, node) in events {
        let told = Dialog::of(event);
        dialogs
            .entry((told.call_id.clone(), told.from_tag.clone()))
            .and_modify(|(dialog, _)| dialog.merge(&told))
            .or_insert_with(|| (told, (*node).to_owned()));
    }
    let call_ids: Vec<&str> = dialogs.keys().map(|(call_id, _)| call_id.as_str()).collect();
    let from_tags: Vec<&str> = dialogs.keys().map(|(_, from_tag)| from_tag.as_str()).collect();
    for row in tx.query(STORED, &[&call_ids, &from_tags]).await? {
        let evidence: serde_json::Value = row.try_get(0)?;
        let stored: Dialog = serde_json::from_value(evidence).map_err(|error| {
            Error::Database(format!("voip.sip_dialogs holds evidence of another form: {error}"))
        })?;
        if let Some((dialog, _)) = dialogs.get_mut(&(stored.call_id.clone(), stored.from_tag.clone())) {
            dialog.merge(&stored);
        }
    }
    let evidence = dialogs
        .values()
        .map(|(dialog, _)| serde_json::to_value(dialog))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Invalid { field: "sip_event", reason: error.to_string() })?;
    let nodes: Vec<&str> = dialogs.values().map(|(_, node)| node.as_str()).collect();
    let call_ids: Vec<&str> = dialogs.keys().map(|(call_id, _)| call_id.as_str()).collect();
    let from_tags: Vec<&str> = dialogs.keys().map(|(_, from_tag)| from_tag.as_str()).collect();
    tx.execute(UPSERT, &[&call_ids, &from_tags, &evidence, &nodes]).await?;
    Ok(dialogs
        .into_values()
        .filter_map(|(dialog, node)| dialog.to_leg().map(|leg| Direct { leg, node }))
        .collect())
}

pub(crate) const STORED: &str = "SELECT d.evidence FROM voip.sip_dialogs d
    JOIN unnest($1::text[], $2::text[]) AS asked (call_id, from_tag)
      ON d.call_id = asked.call_id AND d.from_tag = asked.from_tag";

pub(crate) const UPSERT: &str = "INSERT INTO voip.sip_dialogs (call_id, from_tag, evidence, node)
    SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[])
    ON CONFLICT (call_id, from_tag) DO UPDATE SET evidence = EXCLUDED.evidence, updated_at = now()";
