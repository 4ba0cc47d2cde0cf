//! A change in the database reaches every cache within milliseconds: ours, and Kamailio's hash tables.

use store::Store;
use store::changes::{Changed, News};

use super::kamailio::Kamailio;
use crate::config::Config;
use crate::directory::cache::Directory;
use crate::http::caller::Keys;

/// Who keeps copies of configuration.
pub struct Followers {
    directory: Directory,
    keys: Keys,
    kamailio: Option<Kamailio>,
}

impl Followers {
    pub fn new(directory: Directory, keys: Keys, config: &Config) -> Self {
        Self { directory, keys, kamailio: Kamailio::new(&config.kamailio, &config.fs) }
    }

    async fn tell(&self, news: News) {
        match news {
            News::Changed(change) if change.table == "api_keys" => self.keys.forget_all(),
            News::Changed(change) => {
                match &change.domain {
                    Some(domain) => self.directory.changed(domain, directory_user(&change)).await,
                    None => self.directory.changed_unknown(),
                }
                if let Some(kamailio) = &self.kamailio {
                    kamailio.changed(&change).await;
                }
            }
            News::Resync => self.all().await,
        }
    }

    async fn all(&self) {
        self.directory.changed_unknown();
        self.keys.forget_all();
        if let Some(kamailio) = &self.kamailio {
            kamailio.changed_unknown().await;
        }
    }
}

/// The one directory entry a change is about; none: all of the domain. A person may have several extensions.
fn directory_user(change: &Changed) -> Option<&str> {
    matches!(change.table.as_str(), "extensions" | "sip_credentials").then_some(change.key.as_deref())?
}

/// Follows changes for ever. The listener reconnects by itself and then reports [`News::Resync`].
pub async fn follow(store: Store, followers: Followers) {
    let mut changes = store.changes();
    while let Some(news) = changes.recv().await {
        followers.tell(news).await;
    }
}
