//! A change in the database reaches every cache within milliseconds: ours, and Kamailio's hash tables.

use store::Store;
use store::changes::{Changed, News};

use super::kamailio::Kamailio;
use crate::config;
use crate::directory::cache::Directory;
use crate::http::caller::Keys;

/// Who keeps copies of configuration.
pub struct Followers {
    directory: Directory,
    keys: Keys,
    kamailio: Option<Kamailio>,
}

impl Followers {
    pub fn new(directory: Directory, keys: Keys, kamailio: &config::Kamailio) -> Self {
        Self { directory, keys, kamailio: kamailio.rpc_url.as_deref().and_then(Kamailio::new) }
    }

    async fn tell(&self, news: News) {
        match news {
            News::Changed(Changed { table, domain, key }) => {
                if table == "api_keys" {
                    return self.keys.forget_all();
                }
                let Some(domain) = domain else { return self.all().await };
                self.directory.changed(&domain, key.as_deref()).await;
                if let Some(kamailio) = &self.kamailio {
                    kamailio.forget(&domain, key.as_deref()).await;
                }
            }
            News::Resync => self.all().await,
        }
    }

    async fn all(&self) {
        self.directory.changed_unknown();
        self.keys.forget_all();
        if let Some(kamailio) = &self.kamailio {
            kamailio.forget_all().await;
        }
    }
}

/// Follows changes for ever. The listener reconnects by itself and then reports [`News::Resync`].
pub async fn follow(store: Store, followers: Followers) {
    let mut changes = store.changes();
    while let Some(news) = changes.recv().await {
        followers.tell(news).await;
    }
}
