//! `/api/extensions`: numbers, what each reaches, and its users' SIP secrets.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use model::{ha1, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Store;
use store::extensions::{Credentials, Extension, ExtensionInput};
use store::page::Page;

use super::{Listing, Request, to_the_end};
use crate::http::caller::{Access, Caller};
use crate::http::input::{Json as Body, Query, page_items};
use crate::http::problem::Problem;

/// Characters of a password made by us: 24 of 62, 142 bits.
const PASSWORD_CHARS: usize = 24;
const PASSWORD_CHARS_MIN: usize = 12;
const PASSWORD_BYTES_MAX: usize = 128;

/// An extension as it shall be; PUT replaces all of it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Extension)]
pub struct Wanted {
    /// The tenant's domain: needed from platform keys.
    domain: Option<String>,
    /// The number or SIP user name; for `trunk_out` a pattern such as `0XXXXXXXXX`.
    extension: String,
    /// `user`, `queue`, `ivr`, `voicemail`, `trunk_out` or `conference`.
    #[serde(rename = "type")]
    kind: String,
    description: Option<String>,
    user_id: Option<i32>,
    queue_id: Option<i32>,
    ivr_id: Option<i32>,
    voicemail_box_id: Option<i32>,
    trunk_id: Option<i32>,
    conference_id: Option<i32>,
    /// The tenant's own notes: a JSON object.
    service_ref: Option<Value>,
    need_media: Option<bool>,
    recording_policy_id: Option<i32>,
    active: Option<bool>,
    /// A user's SIP password. Left out at POST, one is made and shown once; left out at PUT, the old one stays.
    sip_password: Option<String>,
}

/// The extension; `sip_password` only in the answer to the request that made it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    extension: Extension,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_password: Option<String>,
}

#[utoipa::path(get, path = "/api/extensions", params(Listing), tag = "extensions", security(("key" = [])),
    responses((status = 200, description = "One page: items, next")))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Extension>>, Problem> {
    let scope = caller.may(Access::Read, "extensions")?;
    let items = page_items(listing.limit.as_deref())?;
    Ok(Json(store.extensions(scope, listing.domain.as_deref(), items, listing.after.as_deref()).await?))
}

#[utoipa::path(get, path = "/api/extensions/{id}", tag = "extensions", security(("key" = [])),
    params(("id" = i32, Path)), responses((status = 200), (status = 404, body = Problem)))]
pub async fn show(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
) -> Result<Json<Extension>, Problem> {
    let scope = caller.may(Access::Read, "extensions")?;
    Ok(Json(store.extension(scope, id(&path)?).await?))
}

#[utoipa::path(post, path = "/api/extensions", request_body = Wanted, tag = "extensions", security(("key" = [])),
    responses((status = 201), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn create(
    caller: Caller,
    State(store): State<Store>,
    request: Request,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let scope = caller.may(Access::Write, "extensions")?;
    let domain = domain_of(&caller, &wanted)?;
    let actor = request.actor(&caller, scope, &wanted);
    let made = (wanted.kind == "user" && wanted.sip_password.is_none()).then(random_password).transpose()?;
    let input = input(&wanted, &domain, made.as_deref().or(wanted.sip_password.as_deref()))?;
    let created = to_the_end(async move { store.create_extension(&actor, &input).await }).await?;
    let location = format!("/api/extensions/{}", created.item.id);
    // An earlier answer's password was never stored, so a repeated request cannot show it.
    let shown = Shown { extension: created.item, sip_password: made.filter(|_| !created.replayed) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
}

#[utoipa::path(put, path = "/api/extensions/{id}", request_body = Wanted, tag = "extensions",
    security(("key" = [])), params(("id" = i32, Path)),
    responses((status = 200), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn replace(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
    request: Request,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Extension>, Problem> {
    let scope = caller.may(Access::Write, "extensions")?;
    let id = id(&path)?;
    let domain = store.extension(scope, id).await?.domain;
    if wanted.domain.as_ref().is_some_and(|asked| !asked.eq_ignore_ascii_case(&domain)) {
        return Err(Problem::field("domain", "an extension stays in its domain; make another one"));
    }
    let actor = request.actor(&caller, scope, &wanted);
    let input = input(&wanted, &domain, wanted.sip_password.as_deref())?;
    to_the_end(async move { store.update_extension(&actor, id, &input).await }).await.map(Json)
}

#[utoipa::path(delete, path = "/api/extensions/{id}", tag = "extensions", security(("key" = [])),
    params(("id" = i32, Path)), responses((status = 204), (status = 404, body = Problem)))]
pub async fn delete(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let scope = caller.may(Access::Write, "extensions")?;
    let id = id(&path)?;
    let actor = request.actor(&caller, scope, &());
    to_the_end(async move { store.delete_extension(&actor, id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no number is no extension: 404, like one that is not there.
fn id(path: &Path<String>) -> Result<i32, Problem> {
    path.parse().map_err(|_| Problem::not_found("extension"))
}

fn domain_of(caller: &Caller, wanted: &Wanted) -> Result<String, Problem> {
    match (caller.domain(), wanted.domain.as_deref()) {
        (Some(own), Some(asked)) if !asked.eq_ignore_ascii_case(own) => {
            Err(Problem::field("domain", "this key belongs to another domain"))
        }
        (Some(own), _) => Ok(own.to_owned()),
        (None, Some(asked)) => Ok(text::domain_name("domain", asked)?),
        (None, None) => Err(Problem::field("domain", "name the tenant's domain: this is a platform key")),
    }
}

fn input(wanted: &Wanted, domain: &str, password: Option<&str>) -> Result<ExtensionInput, Problem> {
    if wanted.kind == "trunk_out" {
        text::extension_pattern("extension", &wanted.extension)?;
    } else {
        text::sip_user("extension", &wanted.extension)?;
    }
    if let Some(description) = &wanted.description {
        text::display("description", description)?;
    }
    if let Some(service_ref) = &wanted.service_ref {
        if !service_ref.is_object() {
            return Err(Problem::field("service_ref", "is a JSON object"));
        }
        texts_are_safe(service_ref)?;
    }
    if password.is_some() && wanted.kind != "user" {
        return Err(Problem::field("sip_password", "only extensions of type user log in"));
    }
    let credentials =
        password.map(|password| credentials(&wanted.extension, domain, password)).transpose()?;
    Ok(ExtensionInput {
        domain: Some(domain.to_owned()),
        extension: wanted.extension.clone(),
        kind: wanted.kind.clone(),
        description: wanted.description.clone(),
        user_id: wanted.user_id,
        queue_id: wanted.queue_id,
        ivr_id: wanted.ivr_id,
        voicemail_box_id: wanted.voicemail_box_id,
        trunk_id: wanted.trunk_id,
        conference_id: wanted.conference_id,
        service_ref: wanted.service_ref.clone(),
        need_media: wanted.need_media,
        recording_policy_id: wanted.recording_policy_id,
        active: wanted.active,
        credentials,
    })
}

/// Every key and text of a tenant's notes: they are shown to engines by nobody today, and must be harmless if they are.
fn texts_are_safe(value: &Value) -> Result<(), Problem> {
    match value {
        Value::String(text) => Ok(text::engine_safe("service_ref", text)?),
        Value::Array(items) => items.iter().try_for_each(texts_are_safe),
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            text::engine_safe("service_ref", name)?;
            texts_are_safe(field)
        }),
        _ => Ok(()),
    }
}

fn credentials(user: &str, domain: &str, password: &str) -> Result<Credentials, Problem> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::field(
            "sip_password",
            "has 12 to 128 characters; leave it out to have one made",
        ));
    }
    text::engine_safe("sip_password", password)?;
    Ok(digests(user, domain, password))
}

/// The digests of a password; the password itself goes no further.
pub fn digests(user: &str, domain: &str, password: &str) -> Credentials {
    Credentials {
        ha1: ha1::md5(user, domain, password),
        ha1b: Some(ha1::md5(&format!("{user}@{domain}"), domain, password)),
        ha1_sha256: Some(ha1::sha256(user, domain, password)),
    }
}

fn random_password() -> Result<String, Problem> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = String::with_capacity(PASSWORD_CHARS);
    while password.len() < PASSWORD_CHARS {
        let mut bytes = [0u8; 64];
        getrandom::fill(&mut bytes).map_err(|error| {
            tracing::error!(%error, "the system gives no random numbers");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no password could be made")
        })?;
        // 248 = 4 x 62: larger bytes would favour the first letters.
        let fair = bytes.iter().filter(|b| **b < 248).map(|b| char::from(ALPHABET[usize::from(b % 62)]));
        password.extend(fair.take(PASSWORD_CHARS - password.len()));
    }
    Ok(password)
}
