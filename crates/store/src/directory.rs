//! What FreeSWITCH's directory wants to know of one user.

use std::fmt;

use crate::{Result, Scope, Store};

/// A user who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectoryUser {
    /// The tenant.
    pub domain_id: i32,
    /// Its SIP domain as stored, lower case: the realm of the HA1.
    pub domain: String,
    /// The SIP user name.
    pub extension: String,
    /// The person's user name.
    pub username: String,
    /// The person's name.
    pub full_name: Option<String>,
    /// MD5 HA1 in hex; `None` for a user without a secret, who cannot log in.
    pub ha1: Option<String>,
    /// SHA-256 HA1 in hex.
    pub ha1_sha256: Option<String>,
    /// The user's mailbox.
    pub voicemail_box: Option<String>,
}

impl fmt::Debug for DirectoryUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryUser({}@{})", self.extension, self.domain)
    }
}

impl Store {
    /// The active user of that extension in that active domain (in any case of letters). One round trip.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable), [`Error::Database`](crate::Error::Database).
    pub async fn directory_user(&self, domain: &str, user: &str) -> Result<Option<DirectoryUser>> {
        let Some(row) = self.ask(DIRECTORY_USER, &[&domain, &user]).await?.into_iter().next() else {
            return Ok(None);
        };
        Ok(Some(DirectoryUser {
            domain_id: row.try_get(0)?,
            domain: row.try_get(1)?,
            extension: row.try_get(2)?,
            username: row.try_get(3)?,
            full_name: row.try_get(4)?,
            ha1: row.try_get(5)?,
            ha1_sha256: row.try_get(6)?,
            voicemail_box: row.try_get(7)?,
        }))
    }

    /// The id of an active domain by its name, in any case of letters.
    ///
    /// # Errors
    /// As [`directory_user`](Self::directory_user).
    pub async fn domain_id(&self, domain: &str) -> Result<Option<i32>> {
        let mut transaction = self.read(Scope::Platform).await?;
        let row = transaction.query_opt(DOMAIN_ID, &[&domain]).await?;
        transaction.commit().await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

pub(crate) const DIRECTORY_USER: &str =
    "SELECT domain_id, domain, extension, username, full_name, ha1, ha1_sha256, voicemail_box
       FROM voip.directory_user($1::text, $2::text)";

pub(crate) const DOMAIN_ID: &str = "SELECT id FROM voip.domains WHERE domain = lower($1::text) AND active";
