//! What each call says, read from its documents by hand.

use crate::Direction;

/// A call as one writes it down.
pub(super) struct Written {
    /// Captures, or one file of `fixtures/calls`.
    pub(super) files: &'static [&'static str],
    pub(super) call: &'static str,
    pub(super) direction: Direction,
    /// Queue and agent, "" for none.
    pub(super) queue: [&'static str; 2],
    pub(super) status: &'static str,
    pub(super) wait: Option<i32>,
    pub(super) talk: Option<i32>,
    /// "" while unknown.
    pub(super) hangup_by: &'static str,
    /// Time of day, event, who, detail ("-" for none), and the leg's first letters.
    pub(super) timeline: &'static [&'static str],
}

const CALL: Written = Written {
    files: &[],
    call: "",
    direction: Direction::Internal,
    queue: ["", ""],
    status: "answered",
    wait: None,
    talk: None,
    hangup_by: "caller",
    timeline: &[],
};

pub(super) const CALLS: [Written; 27] = [
    Written {
        files: &["busy.a_leg.json"],
        call: "39503e5f-2031-461c-9054-079ca6084315",
        status: "busy",
        hangup_by: "system",
        timeline: &[
            "10:04:06.586427 dialled 1005 1008 39503e5f",
            "10:04:06.586427 hung_up - USER_BUSY 39503e5f",
        ],
        ..CALL
    },
    Written {
        files: &["encode_base64.txt"],
        call: "e36a4219-ca21-4346-8205-e68721f24034",
        talk: Some(4),
        timeline: &[
            "10:00:39.051083 dialled 1001 9196 e36a4219",
            "10:00:39.070532 answered - echo e36a4219",
            "10:00:43.071083 hung_up 1001 NORMAL_CLEARING e36a4219",
        ],
        ..CALL
    },
    Written {
        files: &["encode_true.urlencoded.txt"],
        call: "4457b5f9-399a-4d7a-a2cb-307a58a7f3d4",
        talk: Some(4),
        timeline: &[
            "10:00:33.811094 dialled 1001 9196 4457b5f9",
            "10:00:33.838564 answered - echo 4457b5f9",
            "10:00:37.851069 hung_up 1001 NORMAL_CLEARING 4457b5f9",
        ],
        ..CALL
    },
    // Its root is not among the captures, nor who won the race: that leg alone was not answered.
    Written {
        files: &["forked_lost_race.b_leg.json"],
        call: "8515b757-6836-488f-a3b7-94d3acbfa132",
        status: "elsewhere",
        hangup_by: "",
        timeline: &[
            "09:59:43.231059 offered 1003 - 7b0a98e4",
            "09:59:43.231059 unanswered 1003 elsewhere 7b0a98e4",
        ],
        ..CALL
    },
    // An agent's leg without its caller's, who joined in second 37: he waited at least from its end to 39.046, 1.046 s. 5.980 s of talk.
    Written {
        files: &["format_cdr.encode_true.http"],
        call: "541ce7c9-9a72-48e5-9083-87144a1b5e06",
        queue: ["Support_L1", "1002"],
        wait: Some(1),
        talk: Some(5),
        hangup_by: "",
        timeline: &[
            "10:04:38.046489 offered 1002 - 6eef869d",
            "10:04:39.046413 answered 1002 - 6eef869d",
            "10:04:45.026446 hung_up - NORMAL_CLEARING 6eef869d",
        ],
        ..CALL
    },
    Written {
        files: &["internal_answered.a_leg.json", "internal_answered.b_leg.json"],
        call: "387cb8cc-3292-4325-94d7-eab93882bea7",
        wait: Some(0),
        // 4.040 s on the phone that answered; FreeSWITCH, which counts the seconds its clock began, has 5 for it.
        talk: Some(4),
        timeline: &[
            "09:59:09.991056 dialled 1001 1002 387cb8cc",
            "09:59:09.991056 offered 1002 - 8e87c0d7",
            "09:59:09.991056 answered 1002 - 8e87c0d7",
            "09:59:14.031078 hung_up 1001 NORMAL_CLEARING 387cb8cc",
        ],
        ..CALL
    },
    Written {
        files: &["ivr_abandoned.a_leg.json"],
        call: "349475ea-06c9-4b66-b6e0-36164e430360",
        status: "abandoned",
        timeline: &[
            "09:59:32.071057 dialled 1001 5000 349475ea",
            "09:59:34.076391 ivr - demo_ivr 349475ea",
            "09:59:36.091056 hung_up 1001 NORMAL_CLEARING 349475ea",
        ],
        ..CALL
    },
    Written {
        files: &["no_answer.a_leg.json", "no_answer.b_leg.json"],
        call: "1ddaeeef-4f8e-4d65-8330-c392af5a5aab",
        status: "missed",
        // 2.620 s.
        wait: Some(2),
        hangup_by: "system",
        timeline: &[
            "09:59:47.391059 dialled 1001 7005 1ddaeeef",
            "09:59:47.391059 offered 1003 - 25097a07",
            "09:59:50.011056 unanswered 1003 missed 25097a07",
            "09:59:50.011056 hung_up - NORMAL_CLEARING 1ddaeeef",
        ],
        ..CALL
    },
    Written {
        files: &["queue_abandoned.a_leg.json", "queue_agent_no_answer.json"],
        call: "26ceb677-5334-4231-80bd-2601c333526b",
        queue: ["Support_L1", ""],
        status: "abandoned",
        wait: Some(6),
        timeline: &[
            "10:02:38.206402 dialled 1005 8001 26ceb677",
            "10:02:38.222897 queued - Support_L1 26ceb677",
            "10:02:38.246404 offered 1002 - 191e8615",
            "10:02:44.006400 unanswered 1002 missed 191e8615",
            "10:02:44.226398 hung_up 1005 NORMAL_CLEARING 26ceb677",
        ],
        ..CALL
    },
    Written {
        files: &["queue_call.a_leg.json", "queue_call.agent_leg.json"],
        call: "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6",
        queue: ["Support_L1", "1002"],
        // 0.085 s from joining to the answer; 7.920 s of talk.
        wait: Some(0),
        talk: Some(7),
        timeline: &[
            "10:02:20.831055 dialled 1001 7010 f4e2d12f",
            "10:02:20.854271 recorded - - f4e2d12f",
            "10:02:20.866003 queued - Support_L1 f4e2d12f",
            "10:02:20.951064 offered 1002 - 33ce415a",
            "10:02:20.951064 answered 1002 - 33ce415a",
            "10:02:28.871058 hung_up 1001 NORMAL_CLEARING f4e2d12f",
        ],
        ..CALL
    },
    // The phone's leg is not among the captures: the caller's tells who answered.
    Written {
        files: &["recorded_call.a_leg.json"],
        call: "1b12750e-3862-47fe-846f-3e56bbf4a5b8",
        wait: Some(0),
        talk: Some(4),
        timeline: &[
            "09:59:18.371061 dialled 1001 7002 1b12750e",
            "09:59:18.388962 recorded - - 1b12750e",
            "09:59:18.411055 answered 1002 - 1b12750e",
            "09:59:22.451072 hung_up 1001 NORMAL_CLEARING 1b12750e",
        ],
        ..CALL
    },
    Written {
        files: &["spool.encode_false.cdr.json"],
        call: "7f90c027-e898-4472-8054-9ad52d680954",
        wait: Some(0),
        talk: Some(4),
        timeline: &[
            "10:01:36.571075 dialled 1001 1002 7f90c027",
            "10:01:36.591059 answered 1002 - 7f90c027",
            "10:01:40.631061 hung_up 1001 NORMAL_CLEARING 7f90c027",
        ],
        ..CALL
    },
    Written {
        files: &["spool.encode_true.cdr.json"],
        call: "ded86229-6683-4e08-b166-bf6f4513d8ec",
        talk: Some(4),
        timeline: &[
            "10:01:44.811057 dialled 1001 9196 ded86229",
            "10:01:44.817920 answered - echo ded86229",
            "10:01:48.831068 hung_up 1001 NORMAL_CLEARING ded86229",
        ],
        ..CALL
    },
    Written {
        files: &["transferred_by_dialplan.a_leg.json"],
        call: "95dce6bc-7cf2-4821-8bc5-913dfe4c8aec",
        wait: Some(0),
        talk: Some(4),
        timeline: &[
            "09:59:14.171067 dialled 1001 7001 95dce6bc",
            "09:59:14.191065 transferred - to_1002 95dce6bc",
            "09:59:14.211075 answered 1002 - 95dce6bc",
            "09:59:18.231076 hung_up 1001 NORMAL_CLEARING 95dce6bc",
        ],
        ..CALL
    },
    // 1001 talks to 1003, holds him, asks 1002, holds, and connects the two; then the platform is told to end all calls.
    Written {
        files: &["attended_transfer"],
        call: "41b495aa-4786-46cb-a6ab-d12822a8704a",
        wait: Some(0),
        talk: Some(9),
        hangup_by: "system",
        timeline: &[
            "15:12:09.390313 dialled 1001 1003 41b495aa",
            "15:12:09.390313 offered 1003 - 1937e8ee",
            "15:12:09.408955 answered 1003 - 1937e8ee",
            "15:12:09.982885 held 1001 3_s 41b495aa",
            "15:12:14.088139 dialled 1001 1002 d291b64b",
            "15:12:14.088139 offered 1002 - 25226d9e",
            "15:12:14.088139 answered 1002 - 25226d9e",
            "15:12:14.091298 held 1001 1_s 41b495aa",
            "15:12:15.688138 transferred 1001 attended_to_1002 41b495aa",
            "15:12:18.768130 hung_up - MANAGER_REQUEST 1937e8ee",
        ],
        ..CALL
    },
    // 1001 talks to 1002 until the platform sends 1002 into the queue (uuid_transfer -bleg), where 1003 answers him. 1002 talks
    // for 40.400 s, the 10.170 s between included in which he waits.
    Written {
        files: &["bleg_to_queue"],
        call: "btq-a",
        queue: ["Support_L1", "1003"],
        wait: Some(10),
        talk: Some(30),
        hangup_by: "callee",
        timeline: &[
            "09:50:00.000000 dialled 1001 1002 btq-a",
            "09:50:00.050000 offered 1002 - btq-b",
            "09:50:05.100000 answered 1002 - btq-b",
            "09:50:15.200000 transferred - to_8001 btq-b",
            "09:50:15.230000 queued - Support_L1 btq-b",
            "09:50:15.330000 offered 1003 - btq-x",
            "09:50:25.400000 answered 1003 - btq-x",
            "09:50:45.500000 hung_up 1002 NORMAL_CLEARING btq-b",
        ],
        ..CALL
    },
    // The caller of a queue sends the agent on to 1003, who is busy.
    Written {
        files: &["blind_transfer"],
        call: "55f7d839-c11a-4cb3-8a54-e64a5a52cdc5",
        queue: ["Support_L1", "1002"],
        wait: Some(0),
        // 0.642 s.
        talk: Some(0),
        hangup_by: "callee",
        timeline: &[
            "15:12:02.610282 dialled 1001 8001 55f7d839",
            "15:12:02.630544 queued - Support_L1 55f7d839",
            "15:12:02.670287 offered 1002 - acf21e37",
            "15:12:02.670287 answered 1002 - acf21e37",
            "15:12:03.290303 transferred 1001 blind_to_1003 55f7d839",
            "15:12:03.312343 offered 1003 - befcc3b7",
            "15:12:03.312343 unanswered 1003 busy befcc3b7",
            "15:12:03.312343 hung_up 1003 USER_BUSY acf21e37",
        ],
        ..CALL
    },
    // Two phones answer in one tick of the clock: 1003 loses.
    Written {
        files: &["both_answered"],
        call: "fr-a",
        wait: Some(3),
        talk: Some(10),
        timeline: &[
            "09:50:00.000000 dialled 1001 7003 fr-a",
            "09:50:00.050000 offered 1002 - fr-b1",
            "09:50:00.050000 offered 1003 - fr-b2",
            "09:50:03.100000 answered 1002 - fr-b1",
            "09:50:03.100000 unanswered 1003 elsewhere fr-b2",
            "09:50:13.120000 hung_up 1001 NORMAL_CLEARING fr-a",
        ],
        ..CALL
    },
    // The platform calls 1005 and sends him into the queue (originate user/1005 8001 XML transfer): 10.160 s from joining to
    // the answer of 1003, whose leg lasts 30.080 s from there.
    Written {
        files: &["click_to_call"],
        call: "ctc-a",
        queue: ["Support_L1", "1003"],
        wait: Some(10),
        talk: Some(30),
        hangup_by: "callee",
        timeline: &[
            "09:50:00.000000 offered 1005 - ctc-a",
            "09:50:02.500000 answered 1005 - ctc-a",
            "09:50:02.510000 transferred - to_8001 ctc-a",
            "09:50:02.540000 queued - Support_L1 ctc-a",
            "09:50:02.640000 offered 1003 - ctc-x",
            "09:50:12.700000 answered 1003 - ctc-x",
            "09:50:42.800000 hung_up 1005 NORMAL_CLEARING ctc-a",
        ],
        ..CALL
    },
    Written {
        files: &["conference"],
        call: "ce9d6568-4645-4a7f-ab58-2d8d1165c90f",
        talk: Some(6),
        timeline: &[
            "15:11:57.013017 dialled 1001 7000 ce9d6568",
            "15:11:57.016997 conference - team ce9d6568",
            "15:12:03.033008 hung_up 1001 NORMAL_CLEARING ce9d6568",
        ],
        ..CALL
    },
    Written {
        files: &["ivr_to_phone"],
        call: "2851040e-9e5c-4c88-8f36-a1d8790f46cf",
        wait: Some(0),
        // 0.620 s.
        talk: Some(0),
        timeline: &[
            "15:11:51.249600 dialled 1001 9001 2851040e",
            "15:11:51.254904 ivr - Main_Menu 2851040e",
            "15:11:51.609357 transferred - to_1001 2851040e",
            "15:11:51.609357 offered 1001 - ec6d7f13",
            "15:11:51.669359 answered 1001 - ec6d7f13",
            "15:11:52.289356 hung_up 1001 NORMAL_CLEARING 2851040e",
        ],
        ..CALL
    },
    // From a trunk by a menu into a queue: one agent declines, one does not answer, the third does, and hangs up.
    Written {
        files: &["ivr_to_queue"],
        call: "ivq-a",
        direction: Direction::Inbound,
        queue: ["Support_L1", "1004"],
        wait: Some(30),
        talk: Some(60),
        hangup_by: "callee",
        timeline: &[
            "09:50:00.000000 dialled 0301234567 9001 ivq-a",
            "09:50:00.030000 ivr - Main_Menu ivq-a",
            "09:50:08.000000 transferred - to_8001 ivq-a",
            "09:50:08.020000 queued - Support_L1 ivq-a",
            "09:50:08.100000 offered 1002 - ivq-x1",
            "09:50:11.100000 unanswered 1002 rejected ivq-x1",
            "09:50:12.000000 offered 1003 - ivq-x2",
            "09:50:32.000000 unanswered 1003 missed ivq-x2",
            "09:50:33.000000 offered 1004 - ivq-x3",
            "09:50:38.200000 answered 1004 - ivq-x3",
            "09:51:38.250000 hung_up 1004 NORMAL_CLEARING ivq-x3",
        ],
        ..CALL
    },
    Written {
        files: &["loopback_voicemail"],
        call: "lo-a",
        status: "voicemail",
        timeline: &[
            "09:50:00.000000 dialled 1001 1002 lo-a",
            "09:50:00.050000 offered 1002 - lo-b",
            "09:50:20.050000 unanswered 1002 missed lo-b",
            "09:50:21.160000 voicemail - 1002 lo-lb",
            "09:50:45.000000 hung_up 1001 NORMAL_CLEARING lo-a",
        ],
        ..CALL
    },
    Written {
        files: &["queue_two_agents"],
        call: "983effd7-f3fe-4f82-af89-ffaace3e715a",
        queue: ["Support_L1", "1003"],
        wait: Some(0),
        // 0.640 s.
        talk: Some(0),
        timeline: &[
            "15:12:13.505475 dialled 1001 8001 983effd7",
            "15:12:13.511565 recorded - - 983effd7",
            "15:12:13.525456 queued - Support_L1 983effd7",
            "15:12:13.609197 offered 1002 - 4d5b76ad",
            "15:12:13.609197 unanswered 1002 busy 4d5b76ad",
            "15:12:13.709054 offered 1003 - daddb2db",
            "15:12:13.709054 answered 1003 - daddb2db",
            "15:12:14.348770 hung_up 1001 NORMAL_CLEARING 983effd7",
        ],
        ..CALL
    },
    Written {
        files: &["sequential_ring"],
        call: "seq-a",
        wait: Some(12),
        talk: Some(30),
        hangup_by: "callee",
        timeline: &[
            "09:50:00.000000 dialled 1001 7006 seq-a",
            "09:50:00.050000 offered 1002 - seq-b1",
            "09:50:10.050000 unanswered 1002 missed seq-b1",
            "09:50:10.100000 offered 1003 - seq-b2",
            "09:50:12.480000 answered 1003 - seq-b2",
            "09:50:42.500000 hung_up 1003 NORMAL_CLEARING seq-b2",
        ],
        ..CALL
    },
    Written {
        files: &["voicemail"],
        call: "36816932-e9fd-4496-8d93-2596a6cd898e",
        status: "voicemail",
        timeline: &[
            "15:11:50.953013 dialled 1001 7000 36816932",
            "15:11:50.976597 voicemail - 1002 36816932",
            "15:11:57.013017 hung_up 1001 NORMAL_CLEARING 36816932",
        ],
        ..CALL
    },
    // The mailbox gives up at once: by the finer clock 1.2 ms after the end.
    Written {
        files: &["voicemail_ended_at_once"],
        call: "vml-a",
        status: "voicemail",
        hangup_by: "system",
        timeline: &[
            "09:50:00.000000 dialled 1001 7000 vml-a",
            "09:50:00.040000 voicemail - 1002 vml-a",
            "09:50:00.040000 hung_up - NORMAL_CLEARING vml-a",
        ],
        ..CALL
    },
];
