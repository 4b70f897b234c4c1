//! Answers that nobody would think of.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_kill_a_grant_without_a_code(
        status in 100u16..600,
        content_type in "(application/(json|x-www-form-urlencoded))?|[ -~]{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let answer = Answer {
            status,
            is_packed: false,
            content_type,
            retry_after: Some(String::from_utf8_lossy(&body).into_owned()),
            redirect_to: Some(String::from_utf8_lossy(&body).into_owned()),
            date: Some(String::from_utf8_lossy(&body).into_owned()),
            body: Ok(body.into()),
        };
        let outcome = read_answer(&builtin("slack"), &answer);
        if let Err(error) = outcome {
            prop_assert!(!matches!(error.verdict, Verdict::Grant(_)));
        }
    }

    #[test]
    fn no_json_makes_it_panic_or_show_a_value(
        status in prop::sample::select(vec![200u16, 400, 401, 429, 503]),
        key in prop::sample::select(vec![
            "access_token", "expires_in", "expires_at", "error", "ok", "code", "scope", "message",
        ]),
        value in json_value(),
    ) {
        let body = serde_json::json!({ key: value, "client_secret": "the-secret" }).to_string();
        if let Err(error) = read_text(&builtin("github"), status, &body) {
            prop_assert!(!error.message.contains("the-secret"), "{}", error.message);
            prop_assert!(error.message.chars().count() < 420);
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
        Just(Value::from("the-secret")),
        "[0-9]{0,20}(\\.[0-9]{0,3})?(e[0-9]{1,4})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("code|type|message|[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
