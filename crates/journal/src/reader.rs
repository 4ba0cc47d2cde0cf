//! Reads records back, beside the writer and without stopping it.

use std::io;

use crate::Record;
use crate::format::{Found, Seed};
use crate::index::Pending;
use crate::segment::SegmentName;
use crate::shared::Shared;
use crate::storage::StorageFile;

pub(crate) fn read_pending(
    shared: &Shared,
    after_seq: u64,
    records_max: usize,
    bytes_max: usize,
) -> io::Result<Vec<(u64, Record)>> {
    let mut after_seq = after_seq;
    loop {
        let wanted = shared.index().pending_after(after_seq, records_max, bytes_max);
        let Some(last) = wanted.last() else { return Ok(Vec::new()) };
        after_seq = last.entry.seq;
        let records = read(shared, &wanted)?;
        // All of them forgotten or unreadable in the meantime does not mean that there are no more.
        if !records.is_empty() {
            return Ok(records);
        }
    }
}

fn read(shared: &Shared, wanted: &[Pending]) -> io::Result<Vec<(u64, Record)>> {
    let mut open: Option<(SegmentName, Box<dyn StorageFile>)> = None;
    let mut records = Vec::with_capacity(wanted.len());
    for pending in wanted {
        let file = match open.take() {
            Some(same) if same.0 == pending.segment => same,
            _ => match shared.storage.open(&pending.segment.file()) {
                Ok(file) => (pending.segment, file),
                // Deleted since, because its records were forgotten.
                Err(_) if !shared.index().is_pending(pending.entry.seq) => continue,
                Err(e) => return Err(e),
            },
        };
        match read_record(shared, pending, &*file.1) {
            Ok(record) => records.push((pending.entry.seq, record)),
            Err(error) => {
                // One bad sector must not hold up everything behind it. The record is neither handed out nor
                // forgotten; the next opening reports it as missing if it still cannot be read.
                tracing::error!(
                    %error, seq = pending.entry.seq, file = pending.segment.file(),
                    "cannot read a journal record back; it is kept: check the disk"
                );
                shared.index().mark_unreadable(pending.entry.seq);
            }
        }
        open = Some(file);
    }
    Ok(records)
}

fn read_record(shared: &Shared, pending: &Pending, file: &dyn StorageFile) -> io::Result<Record> {
    let mut bytes = vec![0; pending.entry.bytes as usize];
    file.read_exact_at(&mut bytes, pending.entry.offset)?;
    let seed = Seed::new(shared.journal, pending.segment.first_seq);
    match Found::decode(&bytes, seed) {
        Some(found) if found.seq == pending.entry.seq => Ok(found.to_record()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "checksum mismatch")),
    }
}
