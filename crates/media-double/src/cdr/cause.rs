//! Hangup causes: FreeSWITCH's names, their Q.850 numbers, and SIP's status codes on both sides of them.

/// Why a leg ended. Only the causes this program can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The number is not assigned (404).
    UnallocatedNumber,
    /// Somebody hung up.
    NormalClearing,
    /// Busy (486).
    UserBusy,
    /// The phone said it is unavailable (480).
    NoUserResponse,
    /// It rang until we gave up.
    NoAnswer,
    /// The directory does not know the user.
    SubscriberAbsent,
    /// Declined (603).
    CallRejected,
    /// The call came round (482, 483).
    ExchangeRoutingError,
    /// No media in common (488).
    IncompatibleDestination,
    /// Overload or a fault at the far end (503).
    NormalTemporaryFailure,
    /// Nothing like it here (501).
    ServiceNotImplemented,
    /// No answer to our SIP at all (408).
    RecoveryOnTimerExpire,
    /// Any other refusal.
    NormalUnspecified,
    /// The caller gave up before the answer (487).
    OriginatorCancel,
    /// Longer than allowed; what mod_callcenter says of an agent that did not answer.
    AllottedTimeout,
    /// This program is stopping.
    SystemShutdown,
}

impl Cause {
    /// FreeSWITCH's name.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Q.850 number. FreeSWITCH reports causes of its own, above 127, as 16.
    pub fn q850(self) -> u8 {
        self.row().1
    }

    /// The final response that tells a caller.
    pub fn sip(self) -> (u16, &'static str) {
        self.row().2
    }

    /// The cause of a final response other than 2xx (RFC 4497 table, as mod_sofia reads it).
    pub fn of_sip(code: u16) -> Self {
        match code {
            404 => Self::UnallocatedNumber,
            408 | 504 => Self::RecoveryOnTimerExpire,
            480 => Self::NoUserResponse,
            482 | 483 => Self::ExchangeRoutingError,
            486 | 600 => Self::UserBusy,
            487 => Self::OriginatorCancel,
            488 | 606 => Self::IncompatibleDestination,
            401 | 402 | 403 | 407 | 603 | 608 => Self::CallRejected,
            406 | 415 | 501 => Self::ServiceNotImplemented,
            400 | 481 | 500 | 503 => Self::NormalTemporaryFailure,
            _ => Self::NormalUnspecified,
        }
    }

    fn row(self) -> (&'static str, u8, (u16, &'static str)) {
        const UNAVAILABLE: (u16, &str) = (480, "Temporarily Unavailable");
        match self {
            Self::UnallocatedNumber => ("UNALLOCATED_NUMBER", 1, (404, "Not Found")),
            Self::NormalClearing => ("NORMAL_CLEARING", 16, UNAVAILABLE),
            Self::UserBusy => ("USER_BUSY", 17, (486, "Busy Here")),
            Self::NoUserResponse => ("NO_USER_RESPONSE", 18, UNAVAILABLE),
            Self::NoAnswer => ("NO_ANSWER", 19, UNAVAILABLE),
            Self::SubscriberAbsent => ("SUBSCRIBER_ABSENT", 20, UNAVAILABLE),
            Self::CallRejected => ("CALL_REJECTED", 21, (603, "Decline")),
            Self::ExchangeRoutingError => ("EXCHANGE_ROUTING_ERROR", 25, (482, "Loop Detected")),
            Self::NormalUnspecified => ("NORMAL_UNSPECIFIED", 31, UNAVAILABLE),
            Self::NormalTemporaryFailure => ("NORMAL_TEMPORARY_FAILURE", 41, (503, "Service Unavailable")),
            Self::ServiceNotImplemented => ("SERVICE_NOT_IMPLEMENTED", 79, (501, "Not Implemented")),
            Self::IncompatibleDestination => ("INCOMPATIBLE_DESTINATION", 88, (488, "Not Acceptable Here")),
            Self::RecoveryOnTimerExpire => ("RECOVERY_ON_TIMER_EXPIRE", 102, (504, "Server Time-out")),
            Self::OriginatorCancel => ("ORIGINATOR_CANCEL", 16, (487, "Request Terminated")),
            Self::AllottedTimeout => ("ALLOTTED_TIMEOUT", 16, UNAVAILABLE),
            Self::SystemShutdown => ("SYSTEM_SHUTDOWN", 16, (503, "Service Unavailable")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_the_captures() {
        assert_eq!((Cause::of_sip(486).name(), Cause::of_sip(486).q850()), ("USER_BUSY", 17));
        assert_eq!((Cause::NoAnswer.name(), Cause::NoAnswer.q850()), ("NO_ANSWER", 19));
        assert_eq!((Cause::AllottedTimeout.name(), Cause::AllottedTimeout.q850()), ("ALLOTTED_TIMEOUT", 16));
    }

    #[test]
    fn a_refusal_reaches_the_caller_as_it_came() {
        for code in [404, 480, 482, 486, 487, 488, 501, 503, 603] {
            assert_eq!(Cause::of_sip(code).sip().0, code);
        }
    }
}
