//! The filters of every route that looks at calls, as query parameters.
//!
//! A text is compared exactly, `123*` by its beginning, `*123` by its end; `\*` is a star. `queue!=x` is the contrary of
//! `queue=x`. One table says which there are; it is what is read, and what OpenAPI shows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use model::call::Status;
use store::search::{CONDITIONS_MAX, CdrFilter, Column, Compare, Condition, Number, Pattern, Time, Wanted};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::http::problem::Problem;

/// A query's parameters by name, each given once.
pub type Params = BTreeMap<String, String>;

enum Kind {
    From,
    To,
    Domain,
    Text(Column),
    Extension,
    User,
    Recorded,
    Number(Number, Compare),
    Time(Time, Compare),
}

/// Name, what it is, what OpenAPI says.
const FILTERS: &[(&str, Kind, &str)] = &[
    ("from", Kind::From, "started at this time or later: RFC 3339, or without offset in `tz`"),
    ("to", Kind::To, "started before this time"),
    ("answer_from", Kind::Time(Time::Answer, Compare::AtLeast), "answered at this time or later"),
    ("answer_to", Kind::Time(Time::Answer, Compare::Below), "answered before this time"),
    ("end_from", Kind::Time(Time::End, Compare::AtLeast), "ended at this time or later"),
    ("end_to", Kind::Time(Time::End, Compare::Below), "ended before this time"),
    ("caller", Kind::Text(Column::Caller), "the caller's number"),
    ("name", Kind::Text(Column::Name), "the caller's name, A to Z without case; also `*part*`"),
    ("dialled", Kind::Text(Column::Dialled), "what was dialled"),
    ("destination", Kind::Text(Column::Dialled), "the same as `dialled`"),
    ("callee", Kind::Text(Column::Callee), "who was rung: what any leg went to"),
    ("extension", Kind::Extension, "took part: called, was dialled, or was rung as an agent"),
    ("user", Kind::User, "took part, under any of his numbers; platform keys name the `domain` too"),
    ("queue", Kind::Text(Column::Queue), "the queue's name, without domain"),
    ("agent", Kind::Text(Column::Agent), "an agent who was rung: the user name, without domain"),
    ("direction", Kind::Text(Column::Direction), "`inbound`, `outbound` or `internal`"),
    ("status", Kind::Text(Column::Status), "what became of the call"),
    ("hangup_by", Kind::Text(Column::HangupBy), "who hung up"),
    ("cause", Kind::Text(Column::Cause), "FreeSWITCH's name of the hangup cause"),
    ("hangup_cause", Kind::Text(Column::Cause), "the same as `cause`"),
    ("q850", Kind::Number(Number::Q850, Compare::Is), "the cause's ITU-T Q.850 number"),
    ("duration_min", Kind::Number(Number::Duration, Compare::AtLeast), "seconds"),
    ("duration_max", Kind::Number(Number::Duration, Compare::AtMost), "seconds"),
    ("billsec_min", Kind::Number(Number::Billsec, Compare::AtLeast), "seconds"),
    ("billsec_max", Kind::Number(Number::Billsec, Compare::AtMost), "seconds"),
    ("wait_min", Kind::Number(Number::Wait, Compare::AtLeast), "seconds"),
    ("wait_max", Kind::Number(Number::Wait, Compare::AtMost), "seconds"),
    ("talk_min", Kind::Number(Number::Talk, Compare::AtLeast), "seconds"),
    ("talk_max", Kind::Number(Number::Talk, Compare::AtMost), "seconds"),
    ("recorded", Kind::Recorded, "`true` or `false`"),
    ("trunk", Kind::Text(Column::Trunk), "the trunk's name"),
    ("sip_call_id", Kind::Text(Column::SipCallId), "the SIP `Call-ID` of any leg"),
    ("uuid", Kind::Text(Column::Uuid), "the uuid of any leg of the call, or the call's"),
    ("context", Kind::Text(Column::Context), "the dialplan context"),
    ("node", Kind::Text(Column::Node), "the node that carried it"),
    ("source", Kind::Text(Column::Source), "`freeswitch`, `kamailio` or `media-double`"),
    ("domain", Kind::Domain, "a tenant's domain; for platform keys"),
];

/// The filters for OpenAPI.
pub struct Filters;

impl utoipa::IntoParams for Filters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || ObjectBuilder::new().schema_type(Type::String).build();
        FILTERS
            .iter()
            .map(|(name, _, about)| {
                let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query);
                parameter.description(Some(*about)).schema(Some(text())).build()
            })
            .collect()
    }
}

/// Takes the filters out of the parameters: what is left is another's to read.
///
/// # Errors
/// 400 naming the parameter.
pub fn take(params: &mut Params, zone: &TimeZone) -> Result<CdrFilter, Problem> {
    let mut filter = CdrFilter::default();
    for (name, kind, _) in FILTERS {
        if let Some(value) = params.remove(*name) {
            match kind {
                Kind::From => filter.from = Some(time(name, &value, zone)?),
                Kind::To => filter.to = Some(time(name, &value, zone)?),
                Kind::Domain => filter.domain = Some(value),
                _ => filter.conditions.push(wanted(name, kind, &value, false, zone)?),
            }
        }
        let contrary = format!("{name}!");
        if let Some(value) = params.remove(&contrary) {
            match kind {
                Kind::Text(_) | Kind::Extension | Kind::User | Kind::Number(_, Compare::Is) => {
                    filter.conditions.push(wanted(&contrary, kind, &value, true, zone)?);
                }
                _ => return Err(Problem::parameter(contrary, format!("'{name}' has no contrary"))),
            }
        }
    }
    if filter.conditions.len() > CONDITIONS_MAX {
        let most = format!("at most {CONDITIONS_MAX} filters in one search");
        return Err(Problem::new(http::StatusCode::BAD_REQUEST, most));
    }
    Ok(filter)
}

/// Refuses what nobody has taken: a filter that is silently ignored shows the wrong calls.
///
/// # Errors
/// 400 naming it.
pub fn nothing_left(params: &Params) -> Result<(), Problem> {
    let Some(name) = params.keys().next() else { return Ok(()) };
    Err(Problem::parameter(name, "is not a parameter of this route; GET /api/openapi.json lists them"))
}

fn wanted(name: &str, kind: &Kind, value: &str, not: bool, zone: &TimeZone) -> Result<Wanted, Problem> {
    if value.is_empty() {
        return Err(Problem::parameter(name, "is empty"));
    }
    let mut not = not;
    let condition = match kind {
        Kind::Text(column) => Condition::Text(*column, pattern(name, *column, value)?),
        Kind::Extension => Condition::Extension(vec![value.to_owned()]),
        Kind::User => Condition::User(value.to_owned()),
        Kind::Number(number, compare) => {
            let value = value.parse().map_err(|_| Problem::parameter(name, "is a whole number"))?;
            Condition::Number(*number, *compare, value)
        }
        Kind::Time(which, compare) => Condition::Time(*which, *compare, time(name, value, zone)?),
        Kind::Recorded | Kind::From | Kind::To | Kind::Domain => {
            not = match value {
                "true" => false,
                "false" => true,
                _ => return Err(Problem::parameter(name, "is 'true' or 'false'")),
            };
            Condition::Recorded
        }
    };
    Ok(Wanted { condition, not })
}

/// A text with a `*` at its beginning or its end, or without; of a column with a few values, one of these.
pub(crate) fn pattern(name: &str, column: Column, value: &str) -> Result<Pattern, Problem> {
    let known: &[&str] = match column {
        Column::Direction => &["inbound", "outbound", "internal"],
        Column::HangupBy => &["caller", "callee", "system"],
        Column::Source => &["freeswitch", "kamailio", "media-double"],
        Column::Status => &Status::ALL.map(Status::as_str),
        _ => &[],
    };
    if !known.is_empty() && !known.contains(&value) {
        return Err(Problem::parameter(name, format!("is one of {}", known.join(", "))));
    }
    let wrong = |what: &str| Problem::parameter(name, what);
    let (mut text, mut begins, mut ends) = (String::new(), false, false);
    let mut rest = value.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.peek() == Some(&'*') => text.extend(rest.next()),
            '*' if first => ends = true,
            '*' if rest.peek().is_none() => begins = true,
            '*' => return Err(wrong(r"has a * at its beginning or its end; a star itself is \*")),
            other => text.push(other),
        }
        first = false;
    }
    if text.is_empty() {
        return Err(wrong(r"is a * alone, which everything fulfils; a star itself is \*"));
    }
    Ok(match (begins, ends) {
        (false, false) => Pattern::Is(text),
        (true, false) => Pattern::Begins(text),
        (false, true) => Pattern::Ends(text),
        (true, true) if column == Column::Name => Pattern::Holds(text),
        (true, true) => return Err(wrong("has a * at its beginning or at its end, not both")),
    })
}

/// The time zone named by `tz`; UTC without it.
///
/// # Errors
/// 400 for one that is not known.
pub fn zone(name: Option<&str>) -> Result<TimeZone, Problem> {
    name.map_or(Ok(TimeZone::UTC), |name| {
        TimeZone::get(name)
            .map_err(|_| Problem::parameter("tz", "is an IANA time zone such as Europe/Berlin"))
    })
}

/// RFC 3339 with offset, or a date or time without one, read in `zone`.
///
/// # Errors
/// 400 naming the field.
pub fn time(field: &str, text: &str, zone: &TimeZone) -> Result<Timestamp, Problem> {
    // A '+' that was not percent-encoded arrives as a space.
    let text = text.trim().replace(' ', "+");
    let civil = || text.parse::<civil::DateTime>().ok().and_then(|t| t.to_zoned(zone.clone()).ok());
    text.parse::<Timestamp>().ok().or_else(|| civil().map(|z| z.timestamp())).ok_or_else(|| {
        Problem::parameter(field, "is a time such as 2026-11-22T10:00:00Z, or a date such as 2026-11-22")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(query: &[(&str, &str)]) -> Result<CdrFilter, String> {
        let mut params = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let filter = take(&mut params, &TimeZone::UTC);
        let filter = filter.map_err(|problem| problem.field.unwrap_or_default())?;
        nothing_left(&params).map_err(|problem| problem.field.unwrap_or_default())?;
        Ok(filter)
    }

    #[test]
    fn a_text_is_whole_or_has_a_star_at_one_end() {
        let of = |name, value| {
            let filter = taken(&[(name, value)])?;
            match filter.conditions.into_iter().next() {
                Some(Wanted { condition: Condition::Text(_, pattern), not: false }) => Ok(pattern),
                other => Err(format!("{other:?}")),
            }
        };
        let text = str::to_owned;
        assert_eq!(of("caller", "123"), Ok(Pattern::Is(text("123"))));
        assert_eq!(of("caller", "123*"), Ok(Pattern::Begins(text("123"))));
        assert_eq!(of("caller", "*123"), Ok(Pattern::Ends(text("123"))));
        assert_eq!(of("name", "*ann*"), Ok(Pattern::Holds(text("ann"))));
        assert_eq!(of("dialled", r"\*97"), Ok(Pattern::Is(text("*97"))), "a feature code");
        assert_eq!(of("dialled", r"\*9*"), Ok(Pattern::Begins(text("*9"))));
        assert_eq!(of("dialled", r"\*"), Ok(Pattern::Is(text("*"))));
        for (name, value) in [
            ("caller", "1*2"),
            ("caller", "*"),
            ("caller", "*1*"),
            ("caller", ""),
            ("direction", "up"),
            ("status", "gone"),
            ("hangup_by", "me"),
            ("source", "x"),
        ] {
            assert_eq!(of(name, value), Err(text(name)), "{value}");
        }
    }

    #[test]
    fn the_contrary_is_named_with_a_bang() {
        let filter = taken(&[("queue!", "Sales"), ("recorded", "false"), ("q850!", "16")]).unwrap();
        assert!(filter.conditions.iter().all(|wanted| wanted.not), "{filter:?}");
        assert_eq!(filter.conditions.len(), 3);
        assert_eq!(taken(&[("from!", "2026-11-22")]), Err("from!".to_owned()));
        assert_eq!(taken(&[("colour", "red")]), Err("colour".to_owned()));
        assert_eq!(taken(&[("duration_min", "long")]), Err("duration_min".to_owned()));
    }
}
