//! What FreeSWITCH asks by mod_xml_curl, and the documents that answer it.
//!
//! In: the form a request posted ([`DirectoryRequest::parse`]), and what the store knows of a user. Out: a document as text.
//! FreeSWITCH runs its preprocessor over an answer line by line *before* it parses it: a line with `<?` or `<include>` is
//! dropped, `$${…}` anywhere is replaced, `X-PRE-PROCESS` is obeyed. Escaping protects against none of that, so documents carry no
//! XML declaration, and a value that holds such a thing never becomes part of one.
//!
//! Architecture invariant: pure; the one crate that knows the XML of FreeSWITCH. A password is in no document: FreeSWITCH
//! gets HA1.
#![forbid(unsafe_code)]

mod document;
mod request;

pub use document::{DIAL_STRING, DirectoryUser, Unsafe, directory_domain, directory_user, not_found};
pub use request::{DirectoryRequest, REQUEST_MAX_BYTES, RequestKind};
