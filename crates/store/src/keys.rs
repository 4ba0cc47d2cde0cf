//! API keys: found by their prefix, judged by their hash. The store knows no clear key.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::{Error, Result, Scope, Store};

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: i32,
    /// What people call it.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// SHA-256 of the whole key. Compare in constant time.
    pub hash: [u8; 32],
    /// Resource to `read` or `write`; the resource `*` is every one.
    pub scopes: BTreeMap<String, String>,
    /// Whose rows it opens.
    pub scope: Scope,
    /// The tenant's SIP domain; `None` for a platform's key.
    pub domain: Option<String>,
    /// Not valid from this time on.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; empty: anywhere.
    pub networks: Vec<Network>,
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Bits that are the network's.
    pub prefix_bits: u8,
}

impl Network {
    /// Whether the address lies in it. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn within(network: u128, address: u128, width: u32, bits: u8) -> bool {
            let free = width.saturating_sub(u32::from(bits));
            free >= 128 || network >> free == address >> free
        }
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                within(u32::from(network).into(), u32::from(address).into(), 32, self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                within(network.into(), address.into(), 128, self.prefix_bits)
            }
            _ => false,
        }
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Unique in its domain.
    pub name: String,
    /// The key's first characters, 4 to 32.
    pub prefix: String,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// Resource to `read` or `write`.
    pub scopes: BTreeMap<String, String>,
    /// The tenant's SIP domain; `None` for a platform's key.
    pub domain: Option<String>,
    /// Not valid from this time on.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// The active, unexpired key with this prefix, in an active domain.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Database`].
    pub async fn api_key(&self, prefix: &str) -> Result<Option<ApiKey>> {
        let mut transaction = self.read(Scope::Platform).await?;
        let row = transaction.query_opt(API_KEY, &[&prefix]).await?;
        transaction.commit().await?;
        row.as_ref().map(api_key).transpose()
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a name or prefix that is taken, [`Error::NotFound`] for an unknown domain.
    pub async fn create_api_key(&self, who: &str, key: &NewApiKey) -> Result<i32> {
        let mut transaction = self.write(Scope::Platform).await?;
        let scopes = crate::audit::shown(&key.scopes)?;
        let hash: &[u8] = &key.hash;
        let row = transaction
            .query_opt(
                CREATE_API_KEY,
                &[&key.name, &key.prefix, &hash, &scopes, &key.domain, &key.expires_at],
            )
            .await?
            .ok_or(Error::NotFound)?;
        let id: i32 = row.try_get(0)?;
        let after = serde_json::json!({"name": key.name, "prefix": key.prefix, "scopes": scopes, "domain": key.domain});
        transaction.execute(LOG_KEY, &[&who, &id.to_string(), &key.domain, &after]).await?;
        transaction.commit().await?;
        Ok(id)
    }
}

fn api_key(row: &Row) -> Result<ApiKey> {
    let corrupt = |what: &str| Error::Database(format!("voip.api_keys: {what}"));
    let hash: Vec<u8> = row.try_get("key_hash")?;
    let scopes: serde_json::Value = row.try_get("scopes")?;
    let networks: Vec<String> = row.try_get("networks")?;
    let domain_id: Option<i32> = row.try_get("domain_id")?;
    Ok(ApiKey {
        id: row.try_get("id")?,
        name: row.try_get("key_name")?,
        prefix: row.try_get("prefix")?,
        hash: hash.try_into().map_err(|_| corrupt("a hash that is not of 32 bytes"))?,
        scopes: serde_json::from_value(scopes)
            .map_err(|_| corrupt("scopes that are not an object of words"))?,
        scope: domain_id.map_or(Scope::Platform, Scope::Tenant),
        domain: row.try_get("domain")?,
        expires_at: row.try_get("expires_at")?,
        networks: networks
            .iter()
            .map(|text| network(text).ok_or_else(|| corrupt("a network that is none")))
            .collect::<Result<_>>()?,
    })
}

/// As PostgreSQL writes a cidr: always with its bits.
fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/')?;
    Some(Network { address: address.parse().ok()?, prefix_bits: bits.parse().ok()? })
}

pub(crate) const API_KEY: &str =
    "SELECT k.id, k.key_name, k.prefix, k.key_hash, k.scopes, k.domain_id, d.domain,
        k.expires_at, ARRAY(SELECT n::text FROM unnest(k.networks) AS n) AS networks
    FROM voip.api_keys k LEFT JOIN voip.domains d ON d.id = k.domain_id
    WHERE k.prefix = $1 AND k.active AND (k.expires_at IS NULL OR k.expires_at > now())
      AND (k.domain_id IS NULL OR d.active)";

pub(crate) const CREATE_API_KEY: &str =
    "INSERT INTO voip.api_keys (key_name, prefix, key_hash, scopes, domain_id, expires_at)
    SELECT $1, $2, $3, $4, d.id, $6
      FROM (SELECT 1) AS one LEFT JOIN voip.domains d ON d.domain = lower($5::text)
     WHERE $5::text IS NULL OR d.id IS NOT NULL
    RETURNING id";

pub(crate) const LOG_KEY: &str =
    "INSERT INTO voip.audit_log (who, action, entity, entity_id, domain_id, after)
    SELECT $1, 'create', 'api_key', $2, (SELECT id FROM voip.domains WHERE domain = lower($3::text)), $4";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let within = |net: &str, address: &str| network(net).unwrap().contains(address.parse().unwrap());
        assert!(within("10.0.0.0/8", "10.255.0.1"));
        assert!(within("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!within("10.0.0.0/8", "11.0.0.1"));
        assert!(within("0.0.0.0/0", "192.0.2.1"));
        assert!(within("192.0.2.1/32", "192.0.2.1"));
        assert!(!within("192.0.2.1/32", "192.0.2.2"));
        assert!(within("::/0", "2001:db8::1"));
        assert!(!within("::/0", "192.0.2.1"));
        assert!(within("2001:db8::/32", "2001:db8:1::1"));
        assert!(!within("2001:db8::/32", "2001:db9::1"));
        assert_eq!(network("10.0.0.0"), None);
    }
}
