use bytes::Bytes;

/// The document of a user who may log in; none for one without a secret, or with a value that FreeSWITCH would obey.
pub fn user(user: &store::directory::DirectoryUser) -> Option<Bytes> {
    let name = user.full_name.as_deref().unwrap_or(&user.extension);
    let document = fsxml::directory_user(&fsxml::DirectoryUser {
        user: &user.extension,
        domain: &user.domain,
        ha1_md5: user.ha1.as_deref()?,
        number_alias: None,
        caller_id_name: name,
        caller_id_number: &user.extension,
        // Our own answer is as fast, and knows of changes.
        cacheable_ms: None,
        variables: &[],
    });
    document
        .inspect_err(|error| {
            // Values are refused when they are stored; this one came in by another door.
            tracing::error!(%error, extension = user.extension, domain = user.domain, "user left out of the directory");
        })
        .ok()
        .map(Bytes::from)
}
