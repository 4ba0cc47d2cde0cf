//! A CDR as FreeSWITCH posts or spools it, read into a [`Leg`].
use crate::Leg;
pub use crate::Rejected;

/// A larger body is refused. Real documents have 5 to 40 KiB.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Reads a CDR from a body exactly as it was posted or spooled. `uuid_hint` is the query string's `uuid`.
///
/// # Errors
/// [`Rejected`] for what cannot be understood: keep it whole.
pub fn parse(body: &[u8], uuid_hint: Option<&str>) -> Result<Leg, Rejected> {
    let _ = body;
    Err(Rejected::new(uuid_hint.map(str::to_owned), "not yet read"))
}
