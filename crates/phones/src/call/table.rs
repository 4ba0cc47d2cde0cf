//! Calls for people: a line a call, its legs below it.

use comfy_table::{Table, presets};
use serde_json::Value;

use super::record::{Call, Record};

const HEADER: [&str; 10] =
    ["CALL", "FROM", "TO", "DIRECTION", "START (UTC)", "SECONDS", "BILLED", "CAUSE", "QUEUE", "AGENT"];

/// The table of `calls`, as the API told them.
pub fn calls(calls: &[Value]) -> serde_json::Result<Table> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADER);
    for (number, call) in calls.iter().enumerate() {
        let call = Call::read(call)?;
        table.add_row(row(format!("{}", number + 1), &call.record.direction, &call.record));
        let legs = call.legs.len();
        for (index, leg) in call.legs.iter().enumerate() {
            let branch = if index + 1 == legs { "└ leg" } else { "├ leg" };
            table.add_row(row(format!("{branch} {}", index + 1), &leg.leg_direction, &leg.record));
        }
    }
    Ok(table)
}

fn row(name: String, direction: &str, record: &Record) -> [String; 10] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let start = record.start_time.map(|start| start.strftime("%H:%M:%S").to_string());
    [
        name,
        text(&record.caller_id_number),
        text(&record.destination_number),
        direction.to_owned(),
        start.unwrap_or_default(),
        record.duration.to_string(),
        record.billsec.to_string(),
        text(&record.hangup_cause),
        text(&record.queue),
        text(&record.agent),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn legs_stand_below_their_call() {
        let leg = |direction: &str| {
            json!({
                "leg_direction": direction, "caller_id_number": "1001", "destination_number": "8001",
                "start_time": "2026-11-22T10:00:00.5Z", "duration": 5, "billsec": 4, "queue": "support",
                "hangup_cause": "NORMAL_CLEARING", "agent": null, "end_time": "2026-11-22T10:00:05Z",
            })
        };
        let mut call = leg("");
        call["direction"] = json!("internal");
        call["legs"] = json!([leg("inbound"), leg("outbound")]);
        let table = calls(&[call]).expect("readable").to_string();
        let lines: Vec<&str> = table.lines().filter(|line| line.contains("8001")).collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[0].contains("internal") && lines[0].contains("10:00:00"), "{table}");
        assert!(lines[1].contains("├ leg 1") && lines[1].contains("inbound"), "{table}");
        assert!(lines[2].contains("└ leg 2") && lines[2].contains("outbound"), "{table}");
    }
}
