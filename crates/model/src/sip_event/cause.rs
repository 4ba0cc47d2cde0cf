//! A SIP final reply as a hangup cause, the way FreeSWITCH names them, so that a direct call reads like any other.
//!
//! Follows RFC 3398 section 8.2.6.1 and FreeSWITCH's own table in mod_sofia, but for one: 408 is what Kamailio's timer
//! makes of a phone that rang and was not answered, so it is `NO_ANSWER` here and not a protocol timer's failure.

use crate::call::HangupBy;

/// The cause of a BYE: name and Q.850 number.
pub const NORMAL_CLEARING: (&str, i16) = ("NORMAL_CLEARING", 16);

/// The cause of a call that failed with this code: FreeSWITCH's name and the Q.850 number FreeSWITCH would report with it.
pub fn of_sip_code(code: u16) -> (&'static str, i16) {
    match code {
        401 | 402 | 403 | 407 | 603 | 607 | 608 => ("CALL_REJECTED", 21),
        404 => ("UNALLOCATED_NUMBER", 1),
        405 => ("SERVICE_UNAVAILABLE", 63),
        406 | 415 | 501 => ("SERVICE_NOT_IMPLEMENTED", 79),
        408 => ("NO_ANSWER", 19),
        410 => ("NUMBER_CHANGED", 22),
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => ("INTERWORKING", 127),
        480 => ("NO_USER_RESPONSE", 18),
        400 | 481 | 500 | 503 => ("NORMAL_TEMPORARY_FAILURE", 41),
        482 | 483 => ("EXCHANGE_ROUTING_ERROR", 25),
        484 => ("INVALID_NUMBER_FORMAT", 28),
        485 | 604 => ("NO_ROUTE_DESTINATION", 3),
        486 | 600 => ("USER_BUSY", 17),
        // No number of Q.850 of its own: FreeSWITCH reports 16 with it.
        487 => ("ORIGINATOR_CANCEL", 16),
        488 | 606 => ("INCOMPATIBLE_DESTINATION", 88),
        502 => ("NETWORK_OUT_OF_ORDER", 38),
        504 => ("RECOVERY_ON_TIMER_EXPIRE", 102),
        _ => ("NORMAL_UNSPECIFIED", 31),
    }
}

/// Who ended a call that failed with this code: the caller cancelled, the called side refused; else neither.
pub fn refused_by(code: u16) -> Option<HangupBy> {
    match code {
        487 => Some(HangupBy::Caller),
        486 | 600 | 603 => Some(HangupBy::Callee),
        _ => None,
    }
}
