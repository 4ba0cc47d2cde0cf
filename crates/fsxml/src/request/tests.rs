use proptest::prelude::*;

use super::*;

/// Every captured request, by file.
const CAPTURED: [(&str, RequestKind, Option<&str>, Option<&str>); 9] = [
    ("configuration.callcenter.form", RequestKind::Other, None, None),
    ("dialplan.form", RequestKind::Other, None, None),
    ("directory.gateways.form", RequestKind::Gateways, None, None),
    ("directory.message_count.form", RequestKind::MessageCount, Some("1001"), Some("pbx.test")),
    ("directory.network_list.form", RequestKind::NetworkList, None, Some("pbx.test")),
    ("directory.sip_auth_invite.form", RequestKind::SipAuth, Some("1001"), Some("pbx.test")),
    ("directory.sip_auth_register.form", RequestKind::SipAuth, Some("1001"), Some("pbx.test")),
    ("directory.user_call.form", RequestKind::UserCall, Some("1002"), Some("pbx.test")),
    ("directory.user_data.form", RequestKind::UserData, Some("1002"), Some("pbx.test")),
];

fn captures() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire/freeswitch/xml_curl")
}

fn request<'a>(kind: RequestKind, user: Option<&'a str>, domain: Option<&'a str>) -> DirectoryRequest<'a> {
    DirectoryRequest { kind, user: user.map(Into::into), domain: domain.map(Into::into) }
}

#[test]
fn every_captured_request_is_understood() {
    for (file, kind, user, domain) in CAPTURED {
        let form = std::fs::read(captures().join(file)).unwrap();
        let parsed = DirectoryRequest::parse(&form);
        assert_eq!(parsed, request(kind, user, domain), "{file}");
        assert_eq!(parsed.user_at_domain(), user.zip(domain), "{file}");
    }
}

#[test]
fn no_captured_request_is_left_out() {
    let mut files: Vec<String> = std::fs::read_dir(captures())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert!(files.iter().map(String::as_str).eq(CAPTURED.map(|(file, ..)| file)));
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    // `key_value` is a stranger's realm, not encoded: what it injects comes before the true parameters.
    let injected =
        b"section=directory&tag_name=domain&key_name=name&key_value=x&user=1009&domain=victim.test\
        &action=user_call&action=sip_auth&key=id&user=1001&domain=PBX.test";
    let parsed = DirectoryRequest::parse(injected);
    assert_eq!(parsed, request(RequestKind::SipAuth, Some("1001"), Some("pbx.test")));
}

#[test]
fn users_and_domains_that_nobody_could_provision_are_a_miss() {
    for value in
        ["", "a b", "%3Cx%3E", "%22", "$$%7Bdefault_password%7D", "X-PRE-PROCESS%00", "%00", "%FF%FE", "a@b"]
    {
        let user = format!("section=directory&action=sip_auth&user={value}&domain=pbx.test");
        let domain = format!("section=directory&action=sip_auth&user=1001&domain={value}");
        for form in [user, domain] {
            let parsed = DirectoryRequest::parse(form.as_bytes());
            assert_eq!((parsed.kind, parsed.user_at_domain()), (RequestKind::Other, None), "{form}");
        }
    }
}

#[test]
fn other_questions() {
    let kind = |query: &str| DirectoryRequest::parse(format!("section=directory{query}").as_bytes()).kind;
    assert_eq!(kind("&%75ser=1001&d%6fmain=pbx%2Etest&action=sip%5Fauth"), RequestKind::SipAuth);
    assert_eq!(kind(""), RequestKind::Other);
    assert_eq!(kind("&action=sip_auth"), RequestKind::Other);
    assert_eq!(kind("&purpose=publish-vm&user=1001&domain=pbx.test"), RequestKind::Other);
    assert_eq!(kind("&action=voicemail-lookup&user=1001&domain=pbx.test"), RequestKind::VoicemailLookup);
    assert_eq!(kind("&action=reverse-auth-lookup&user=1001&domain=pbx.test"), RequestKind::OtherUser);
    assert_eq!(kind("&user=1001&domain=pbx.test"), RequestKind::OtherUser);
    assert_eq!(kind("&user=1001&tag_name=domain&key_name=name&key_value=pbx.test"), RequestKind::OtherUser);
    assert_eq!(DirectoryRequest::parse(b"user=1001&domain=pbx.test").kind, RequestKind::Other);
}

#[test]
fn a_form_over_the_limit_is_a_miss() {
    let mut form = b"section=directory&action=sip_auth&user=1001&domain=pbx.test&x=".to_vec();
    form.resize(REQUEST_MAX_BYTES, b'x');
    assert_eq!(DirectoryRequest::parse(&form).kind, RequestKind::SipAuth);
    form.push(b'x');
    assert_eq!(DirectoryRequest::parse(&form), request(RequestKind::Other, None, None));
    assert_eq!(DirectoryRequest::parse(&vec![b'&'; 1024 * 1024]).kind, RequestKind::Other);
}

/// What the library for forms makes of it, key by key: the parser by reference must mean the same.
fn by_the_library(form: &[u8], key: &str) -> Option<String> {
    form_urlencoded::parse(form).filter(|(k, _)| k == key).last().map(|(_, value)| value.into_owned())
}

proptest! {
    #[test]
    fn the_form_means_what_the_library_says(form in "([&=%+a-c]|%2|%75|%3D|%26|user|%75ser|domai|%6e|%6En|n|domain|=1001|=pbx.test|&){0,24}") {
        let form = format!("section=directory&{form}");
        let parsed = DirectoryRequest::parse(form.as_bytes());
        let user = by_the_library(form.as_bytes(), "user").filter(|user| text::sip_user("user", user).is_ok());
        let domain = by_the_library(form.as_bytes(), "domain");
        let domain = domain.and_then(|domain| text::domain_name("domain", &domain).ok());
        prop_assert_eq!((parsed.user.as_deref(), parsed.domain.as_deref()), (user.as_deref(), domain.as_deref()));
    }

    #[test]
    fn any_bytes_are_a_request(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let form = [&b"section=directory&action=sip_auth&user=1001&domain=pbx.test&"[..], &bytes].concat();
        for form in [&bytes, &form] {
            let parsed = DirectoryRequest::parse(form);
            prop_assert!(parsed.kind.is_about_a_user() == parsed.user_at_domain().is_some());
        }
    }
}
