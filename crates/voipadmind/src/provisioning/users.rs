//! `/api/users`: the people of a tenant.

use axum::Json;
use axum::extract::State;
use store::Store;
use store::page::Page;
use store::users::User;

use super::Listing;
use crate::http::caller::{Access, Caller};
use crate::http::input::{Query, page_items};
use crate::http::problem::Problem;

#[utoipa::path(get, path = "/api/users", params(Listing), tag = "users", security(("key" = [])),
    responses((status = 200, description = "One page: items, next")))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<User>>, Problem> {
    let scope = caller.may(Access::Read, "users")?;
    let items = page_items(listing.limit.as_deref())?;
    Ok(Json(store.users(scope, listing.domain.as_deref(), items, listing.after.as_deref()).await?))
}
