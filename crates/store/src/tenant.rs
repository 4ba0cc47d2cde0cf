//! Which tenant a write is for.

use crate::transaction::Transaction;
use crate::{Error, Result, Scope};

/// The id of the tenant a new thing belongs to: a tenant's key writes in its own domain and need not name it; the
/// platform's must.
pub(crate) async fn of_request(tx: &mut Transaction, scope: Scope, domain: Option<&str>) -> Result<i32> {
    match (scope, domain) {
        (Scope::Platform, None) => {
            Err(Error::Invalid { field: "domain", reason: "a platform key must name the domain".to_owned() })
        }
        (Scope::Tenant(id), None) => Ok(id),
        (_, Some(domain)) => match tx.query_opt(BY_NAME, &[&domain]).await? {
            Some(row) => Ok(row.try_get(0)?),
            // Another tenant's domain is not visible here, so it reads like one that does not exist.
            None => Err(Error::Invalid { field: "domain", reason: "no such domain".to_owned() }),
        },
    }
}

pub(crate) const BY_NAME: &str = "SELECT id FROM voip.domains WHERE domain = lower($1::text)";
