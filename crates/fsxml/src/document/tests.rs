use std::collections::BTreeMap;

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::*;
use crate::{DirectoryRequest, RequestKind};

const USER: DirectoryUser = DirectoryUser {
    user: "1001",
    domain: "pbx.test",
    ha1_md5: "939e7578ed9e3c518a452acee763bce9",
    number_alias: None,
    caller_id_name: "Zo\u{eb} O'Neil & S\u{f6}hne <x> \"y\"",
    caller_id_number: "1001",
    cacheable_ms: Some(60_000),
    variables: &[],
};

/// The answer the daemon gives to a captured request, with user 1001 and 1002 provisioned.
fn answer(file: &str) -> String {
    let path = format!("{}/../../fixtures/wire/freeswitch/xml_curl/{file}", env!("CARGO_MANIFEST_DIR"));
    let form = std::fs::read(path).unwrap();
    let request = DirectoryRequest::parse(&form);
    match (request.user_at_domain(), &request.domain) {
        (Some((user, domain)), _) => directory_user(&DirectoryUser { user, domain, ..USER }).unwrap(),
        (None, Some(domain)) if request.kind == RequestKind::NetworkList => directory_domain(domain).unwrap(),
        _ => not_found().to_owned(),
    }
}

#[test]
fn answers_to_the_captured_requests() {
    insta::assert_snapshot!("user_1001", answer("directory.sip_auth_register.form"));
    insta::assert_snapshot!("user_1002", answer("directory.user_call.form"));
    assert_eq!(answer("directory.sip_auth_invite.form"), answer("directory.sip_auth_register.form"));
    assert_eq!(answer("directory.message_count.form"), answer("directory.sip_auth_register.form"));
    assert_eq!(answer("directory.user_data.form"), answer("directory.user_call.form"));
    insta::assert_snapshot!("domain", answer("directory.network_list.form"));
    insta::assert_snapshot!("not_found", answer("directory.gateways.form"));
    assert_eq!(answer("dialplan.form"), not_found());
    assert_eq!(answer("configuration.callcenter.form"), not_found());
}

#[test]
fn a_user_with_everything() {
    let user = DirectoryUser {
        number_alias: Some("8821001"),
        cacheable_ms: None,
        variables: &[("vp_record", "1"), ("language", "de")],
        ..USER
    };
    insta::assert_snapshot!("user_with_everything", directory_user(&user).unwrap());
}

#[test]
fn what_freeswitch_would_obey_is_refused_with_field_and_cure() {
    for bad in
        ["$${default_password}", "${system(id)}", "x-Pre-Process", "<?xml?>", "a\nb", "\u{1}", "\u{7f}"]
    {
        let variables = [("note", bad)];
        for (field, user) in [
            ("user", DirectoryUser { user: bad, ..USER }),
            ("domain", DirectoryUser { domain: bad, ..USER }),
            ("number_alias", DirectoryUser { number_alias: Some(bad), ..USER }),
            ("caller_id_name", DirectoryUser { caller_id_name: bad, ..USER }),
            ("caller_id_number", DirectoryUser { caller_id_number: bad, ..USER }),
            ("note", DirectoryUser { variables: &variables, ..USER }),
        ] {
            let refused = directory_user(&user).unwrap_err();
            assert_eq!(refused.field, field);
            assert!(refused.problem.starts_with("holds "), "{refused}");
        }
        assert_eq!(directory_domain(bad).unwrap_err().field, "domain");
    }
}

#[test]
fn what_is_no_ha1_and_no_name_is_refused() {
    for ha1_md5 in ["", "secret", "939e7578ed9e3c518a452acee763bce", "939e7578ed9e3c518a452acee763bcex"] {
        let user = DirectoryUser { ha1_md5, ..USER };
        assert_eq!(directory_user(&user).unwrap_err().field, "ha1_md5");
    }
    for name in ["", "a b", "a-b", "\u{eb}"] {
        let variables = [(name, "x")];
        let user = DirectoryUser { variables: &variables, ..USER };
        directory_user(&user).unwrap_err();
    }
}

/// No line that the preprocessor acts on, but for the dial-string's own expansions.
fn assert_survives_the_preprocessor(document: &str) {
    for line in document.lines() {
        let lower = line.to_lowercase();
        assert!(
            !lower.contains("<?") && !lower.contains("<include") && !lower.contains("x-pre-process"),
            "{line}"
        );
        assert!(!line.contains("$${"), "{line}");
        assert!(!line.contains("${") || line.contains("\"dial-string\""), "{line}");
    }
}

/// Elements with their attributes, in the document's order.
fn elements(document: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut reader = Reader::from_str(document);
    let mut elements = Vec::new();
    let mut read = |element: BytesStart| {
        let attributes = element.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap().into_owned();
            (attribute.key.as_ref().to_owned(), value)
        });
        elements.push((element.name().as_ref().to_owned(), attributes.collect()));
    };
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => read(element),
            Event::Eof => return elements,
            _ => {}
        }
    }
}

proptest! {
    /// Whatever is not refused comes back from an XML parser as it went in.
    #[test]
    fn values_survive_writing_and_parsing(
        name in r#"[ -~\u{a0}-\u{2ff}\u{1F4DE}\n$]{0,40}"#,
        number in any::<String>(),
        cacheable_ms in any::<Option<u32>>(),
    ) {
        let variables = [("note", number.as_str())];
        let user = DirectoryUser { caller_id_name: &name, caller_id_number: &number, cacheable_ms, variables: &variables, ..USER };
        let Ok(document) = directory_user(&user) else {
            let unsafe_text = |text: &str| {
                text.contains("${") || text.contains("<?") || text.chars().any(char::is_control)
                    || text.to_lowercase().contains("x-pre-process")
            };
            prop_assert!(unsafe_text(&name) || unsafe_text(&number));
            return Ok(());
        };
        assert_survives_the_preprocessor(&document);
        let elements = elements(&document);
        let value = |element: &str, wanted: &str| {
            let named = |it: &&(String, BTreeMap<String, String>)| it.0 == element && it.1.get("name").is_some_and(|it| it == wanted);
            elements.iter().find(named).map(|it| it.1["value"].clone())
        };
        prop_assert_eq!(value("variable", "effective_caller_id_name"), Some(name));
        prop_assert_eq!(value("variable", "effective_caller_id_number"), Some(number.clone()));
        prop_assert_eq!(value("variable", "note"), Some(number));
        prop_assert_eq!(value("param", "a1-hash"), Some(USER.ha1_md5.to_owned()));
        prop_assert_eq!(value("param", "dial-string"), Some(DIAL_STRING.to_owned()));
        prop_assert_eq!(value("param", "password"), None);
        let user = elements.iter().find(|it| it.0 == "user").map(|it| it.1.clone()).unwrap();
        prop_assert_eq!(user.get("cacheable").cloned(), cacheable_ms.map(|ms| ms.to_string()));
    }
}

#[test]
fn no_answer_needs_a_declaration() {
    let answers =
        [not_found().to_owned(), directory_user(&USER).unwrap(), directory_domain("pbx.test").unwrap()];
    for document in answers {
        assert_survives_the_preprocessor(&document);
        assert_eq!(elements(&document)[0].0, "document");
    }
}
