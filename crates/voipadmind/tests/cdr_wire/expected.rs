//! What each capture says, read from the document by hand.

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const B64: &str = "application/x-www-form-base64-encoded";

/// File, content type, uuid, duration, billsec, cause, and caller, destination, start, answer, end (empty: none).
pub type Expected = (&'static str, &'static str, &'static str, i64, i64, &'static str, [&'static str; 5]);

#[rustfmt::skip]
pub const EXPECTED: &[Expected] = &[
    ("busy.a_leg.json", JSON, "39503e5f-2031-461c-9054-079ca6084315", 0, 0, "USER_BUSY",
     ["1005", "1008", "2026-11-22T10:04:06.586427Z", "", "2026-11-22T10:04:06.586427Z"]),
    ("encode_base64.txt", B64, "e36a4219-ca21-4346-8205-e68721f24034", 4, 4, "NORMAL_CLEARING",
     ["1001", "9196", "2026-11-22T10:00:39.051083Z", "2026-11-22T10:00:39.051083Z", "2026-11-22T10:00:43.071083Z"]),
    ("encode_true.urlencoded.txt", FORM, "4457b5f9-399a-4d7a-a2cb-307a58a7f3d4", 4, 4, "NORMAL_CLEARING",
     ["1001", "9196", "2026-11-22T10:00:33.811094Z", "2026-11-22T10:00:33.831076Z", "2026-11-22T10:00:37.851069Z"]),
    ("forked_lost_race.b_leg.json", JSON, "7b0a98e4-0c7a-4b87-8e6f-5588649f0bed", 0, 0, "LOSE_RACE",
     ["1001", "1003", "2026-11-22T09:59:43.231059Z", "", "2026-11-22T09:59:43.231059Z"]),
    ("format_cdr.encode_true.http", FORM, "6eef869d-402a-4f08-b6c1-3729a141fe2e", 7, 6, "NORMAL_CLEARING",
     ["1005", "1002", "2026-11-22T10:04:38.046489Z", "2026-11-22T10:04:39.046413Z", "2026-11-22T10:04:45.026446Z"]),
    ("internal_answered.a_leg.json", JSON, "387cb8cc-3292-4325-94d7-eab93882bea7", 5, 4, "NORMAL_CLEARING",
     ["1001", "1002", "2026-11-22T09:59:09.991056Z", "2026-11-22T09:59:10.011063Z", "2026-11-22T09:59:14.031078Z"]),
    ("internal_answered.b_leg.json", JSON, "8e87c0d7-388d-44e2-b1f4-0fb2b0b50d43", 5, 5, "NORMAL_CLEARING",
     ["1001", "1002", "2026-11-22T09:59:09.991056Z", "2026-11-22T09:59:09.991056Z", "2026-11-22T09:59:14.031078Z"]),
    ("ivr_abandoned.a_leg.json", JSON, "349475ea-06c9-4b66-b6e0-36164e430360", 4, 4, "NORMAL_CLEARING",
     ["1001", "5000", "2026-11-22T09:59:32.071057Z", "2026-11-22T09:59:32.071057Z", "2026-11-22T09:59:36.091056Z"]),
    ("no_answer.a_leg.json", JSON, "1ddaeeef-4f8e-4d65-8330-c392af5a5aab", 3, 0, "NORMAL_CLEARING",
     ["1001", "7005", "2026-11-22T09:59:47.391059Z", "", "2026-11-22T09:59:50.011056Z"]),
    ("no_answer.b_leg.json", JSON, "25097a07-d521-4875-a7cd-737c122fe411", 3, 0, "NO_ANSWER",
     ["1001", "1003", "2026-11-22T09:59:47.391059Z", "", "2026-11-22T09:59:50.011056Z"]),
    ("queue_abandoned.a_leg.json", JSON, "26ceb677-5334-4231-80bd-2601c333526b", 6, 6, "NORMAL_CLEARING",
     ["1005", "8001", "2026-11-22T10:02:38.206402Z", "2026-11-22T10:02:38.206402Z", "2026-11-22T10:02:44.226398Z"]),
    ("queue_agent_no_answer.json", JSON, "191e8615-4eb5-467d-b615-2a6a11d0744a", 6, 0, "ALLOTTED_TIMEOUT",
     ["1005", "1002", "2026-11-22T10:02:38.246404Z", "", "2026-11-22T10:02:44.0064Z"]),
    ("queue_call.a_leg.json", JSON, "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6", 8, 8, "NORMAL_CLEARING",
     ["1001", "7010", "2026-11-22T10:02:20.831055Z", "2026-11-22T10:02:20.831055Z", "2026-11-22T10:02:28.871058Z"]),
    ("queue_call.agent_leg.json", JSON, "33ce415a-1976-41d7-acd4-69d600b62cca", 8, 8, "NORMAL_CLEARING",
     ["1001", "1002", "2026-11-22T10:02:20.951064Z", "2026-11-22T10:02:20.951064Z", "2026-11-22T10:02:28.871058Z"]),
    ("recorded_call.a_leg.json", JSON, "1b12750e-3862-47fe-846f-3e56bbf4a5b8", 4, 4, "NORMAL_CLEARING",
     ["1001", "7002", "2026-11-22T09:59:18.371061Z", "2026-11-22T09:59:18.411055Z", "2026-11-22T09:59:22.451072Z"]),
    ("spool.encode_false.cdr.json", JSON, "7f90c027-e898-4472-8054-9ad52d680954", 4, 4, "NORMAL_CLEARING",
     ["1001", "1002", "2026-11-22T10:01:36.571075Z", "2026-11-22T10:01:36.591059Z", "2026-11-22T10:01:40.631061Z"]),
    ("spool.encode_true.cdr.json", FORM, "ded86229-6683-4e08-b166-bf6f4513d8ec", 4, 4, "NORMAL_CLEARING",
     ["1001", "9196", "2026-11-22T10:01:44.811057Z", "2026-11-22T10:01:44.811057Z", "2026-11-22T10:01:48.831068Z"]),
    ("transferred_by_dialplan.a_leg.json", JSON, "95dce6bc-7cf2-4821-8bc5-913dfe4c8aec", 4, 4, "NORMAL_CLEARING",
     ["1001", "7001", "2026-11-22T09:59:14.171067Z", "2026-11-22T09:59:14.211075Z", "2026-11-22T09:59:18.231076Z"]),
];

/// The call's uuid (its root's, which is not always among the captures), status, queue, agent, who hung up (empty: none),
/// seconds waited and talked (-1: none), legs, and its events with who and what.
pub type ExpectedCall = (&'static str, [&'static str; 4], [i64; 2], usize, &'static str);

#[rustfmt::skip]
pub const EXPECTED_CALLS: &[ExpectedCall] = &[
    ("39503e5f-2031-461c-9054-079ca6084315", ["busy", "", "", "system"], [-1, -1], 1,
     "dialled 1005 1008, hung_up USER_BUSY"),
    ("e36a4219-ca21-4346-8205-e68721f24034", ["answered", "", "", "caller"], [-1, 4], 1,
     "dialled 1001 9196, answered echo, hung_up 1001 NORMAL_CLEARING"),
    ("4457b5f9-399a-4d7a-a2cb-307a58a7f3d4", ["answered", "", "", "caller"], [-1, 4], 1,
     "dialled 1001 9196, answered echo, hung_up 1001 NORMAL_CLEARING"),
    ("8515b757-6836-488f-a3b7-94d3acbfa132", ["elsewhere", "", "", ""], [-1, -1], 1,
     "offered 1003, unanswered 1003 elsewhere"),
    ("541ce7c9-9a72-48e5-9083-87144a1b5e06", ["answered", "Support_L1", "1002", ""], [1, 5], 1,
     "offered 1002, answered 1002, hung_up NORMAL_CLEARING"),
    ("387cb8cc-3292-4325-94d7-eab93882bea7", ["answered", "", "", "caller"], [0, 4], 2,
     "dialled 1001 1002, offered 1002, answered 1002, hung_up 1001 NORMAL_CLEARING"),
    ("349475ea-06c9-4b66-b6e0-36164e430360", ["abandoned", "", "", "caller"], [-1, -1], 1,
     "dialled 1001 5000, ivr demo_ivr, hung_up 1001 NORMAL_CLEARING"),
    ("1ddaeeef-4f8e-4d65-8330-c392af5a5aab", ["missed", "", "", "system"], [2, -1], 2,
     "dialled 1001 7005, offered 1003, unanswered 1003 missed, hung_up NORMAL_CLEARING"),
    ("26ceb677-5334-4231-80bd-2601c333526b", ["abandoned", "Support_L1", "", "caller"], [6, -1], 2,
     "dialled 1005 8001, queued Support_L1, offered 1002, unanswered 1002 missed, hung_up 1005 NORMAL_CLEARING"),
    ("f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6", ["answered", "Support_L1", "1002", "caller"], [0, 7], 2,
     "dialled 1001 7010, recorded, queued Support_L1, offered 1002, answered 1002, hung_up 1001 NORMAL_CLEARING"),
    ("1b12750e-3862-47fe-846f-3e56bbf4a5b8", ["answered", "", "", "caller"], [0, 4], 1,
     "dialled 1001 7002, recorded, answered 1002, hung_up 1001 NORMAL_CLEARING"),
    ("7f90c027-e898-4472-8054-9ad52d680954", ["answered", "", "", "caller"], [0, 4], 1,
     "dialled 1001 1002, answered 1002, hung_up 1001 NORMAL_CLEARING"),
    ("ded86229-6683-4e08-b166-bf6f4513d8ec", ["answered", "", "", "caller"], [-1, 4], 1,
     "dialled 1001 9196, answered echo, hung_up 1001 NORMAL_CLEARING"),
    ("95dce6bc-7cf2-4821-8bc5-913dfe4c8aec", ["answered", "", "", "caller"], [0, 4], 1,
     "dialled 1001 7001, transferred to 1002, answered 1002, hung_up 1001 NORMAL_CLEARING"),
];
