//! The people of a tenant.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::page::{Page, id_after, limits};
use crate::{Result, Scope, Store};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its id.
    pub id: i32,
    /// The tenant's SIP domain.
    pub domain: String,
    /// Unique in the domain.
    pub username: String,
    /// Not checked.
    pub email: Option<String>,
    /// The person's name.
    pub full_name: Option<String>,
    /// agent, supervisor or admin.
    pub role: String,
    /// An inactive one cannot log in and is not rung.
    pub active: bool,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

impl Store {
    /// A page of users by id; `domain` narrows a platform's list to one tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a foreign `after`.
    pub async fn users(
        &self,
        scope: Scope,
        domain: Option<&str>,
        limit: u16,
        after: Option<&str>,
    ) -> Result<Page<User>> {
        let after = id_after(after)?;
        let (items, rows) = limits(limit);
        let mut transaction = self.read(scope).await?;
        let rows = transaction
            .search(USERS, &[(&after, Type::INT4), (&domain, Type::TEXT), (&rows, Type::INT8)])
            .await?;
        transaction.commit().await?;
        let users = rows.iter().map(user).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(users, items, |user| user.id.to_string()))
    }
}

fn user(row: &Row) -> Result<User> {
    Ok(User {
        id: row.try_get("id")?,
        domain: row.try_get("domain")?,
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        full_name: row.try_get("full_name")?,
        role: row.try_get("role")?,
        active: row.try_get("active")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(crate) const USERS: &str =
    "SELECT u.id, d.domain, u.username, u.email, u.full_name, u.role, u.active, u.created_at,
        u.updated_at
    FROM voip.users u JOIN voip.domains d ON d.id = u.domain_id
    WHERE u.id > $1 AND ($2::text IS NULL OR d.domain = lower($2)) ORDER BY u.id LIMIT $3";
