//! Every mistake in an entry is told with its line and its key.

use super::*;

/// The mistakes of a sound entry with `rest` added, whose own lines are three.
fn mistakes(rest: &str) -> Vec<String> {
    let problems = Catalogue::check(&format!("{MINIMAL}{rest}"));
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn every_mistake_is_listed_with_line_and_field() {
    let text = r#"
name = "a b"
token_url = "http://acme.example/token"
refresh_url = "https://{shop}.example/t"
allowed_hosts = ["*.com"]
colour = "red"
sources = [1]
[request]
method = "PUT"
client_auth = "bearer_access_token"
names = { secret = "x" }
omit = ["state"]
[request.headers]
"a b" = "x"
[response]
access_token = ["access_token"]
expires = "/expires"
failure = { equals = false }
[errors]
gone = "fatal"
late = { verdict = "transient", reason = "access_denied" }
[uncoded]
500 = "grant"
[rotation]
mode = "grace"
[lifetime]
access_token = "12 hours"
"#;
    let found: Vec<(usize, String)> = Catalogue::check(text)
        .into_iter()
        .map(|problem| (problem.line, problem.field))
        .collect();
    let expected = [
        (2, "name"),
        (3, "token_url"),
        (5, "allowed_hosts"),
        (6, "colour"),
        (7, "sources"),
        (9, "request.method"),
        (10, "request.client_auth"),
        (11, "request.names.secret"),
        (12, "request.omit"),
        (14, "request.headers.a b"),
        (16, "response.access_token"),
        (17, "response.expires"),
        (18, "response.failure.pointer"),
        (20, "errors.gone"),
        (21, "errors.late.reason"),
        (23, "uncoded.500"),
        (25, "rotation.mode"),
        (27, "lifetime.access_token"),
    ];
    let expected: Vec<(usize, String)> = expected
        .map(|(line, field)| (line, field.to_owned()))
        .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn a_problem_reads_as_one_line() {
    assert_eq!(
        mistakes("[request]\nbody = \"xml\""),
        ["line 5: request.body: must be one of form, json, query, not \"xml\""]
    );
    assert_eq!(mistakes("x = 1"), ["line 4: x: is no known key"]);
    assert_eq!(
        mistakes("renewable = \"no\""),
        ["line 4: renewable: must be true or false, not a string"]
    );
}

#[test]
fn missing_keys_are_named() {
    let problems: Vec<String> = Catalogue::check("")
        .iter()
        .map(|problem| problem.field.clone())
        .collect();
    assert_eq!(problems, ["name", "sources", "token_url"]);
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    let problems = Catalogue::check("name = \"acme\"\ntoken_url = = 1\n");
    assert!(!problems.is_empty());
    assert!(problems.iter().all(|problem| problem.line == 2));
}

#[test]
fn contradictions_are_mistakes() {
    let mut odd = Vec::new();
    for rest in [
        "[request]\nmethod = \"GET\"\nbody = \"json\"",
        "[rotation]\nmode = \"none\"\ngrace = \"5s\"",
        "[rotation]\nmode = \"grace\"\ngrace = \"0s\"",
        "[rotation]\ngrace = \"5s\"",
        "[lifetime]\naccess_token = \"0s\"",
        "[errors]\nx = { verdict = \"grant\", try_next_secret = true }",
        "[errors]\nx = { reason = \"access_denied\" }",
        "[response]\nfailure = { pointer = \"/ok\", equals = 1, present = true }",
        "[placeholders]\nunused = \"x\"",
        "revoke_url = \"https://{host}/revoke\"",
        "[request.headers]\nX = \"{\"",
        "[request.headers]\nContent-Length = \"3\"",
        "grant_types = [\"client_credentials\"]\n[grants.client_credentials]\nmethod = \"GET\"\nbody = \"form\"",
        "grant_types = [\"client_credentials\"]\n[request]\nmethod = \"GET\"\n[grants.client_credentials]\nbody = \"json\"",
        "refresh_url = \"https://a.example/r\"\n[grants.refresh_token]\nurl = \"https://a.example/s\"",
        "grant_types = [\"jwt_bearer\"]",
        "grant_types = [\"device_code\"]",
        "grant_types = [\"jwt_bearer\"]\n[assertion]",
        "allowed_hosts = [\"*.acme.example\"]\nrevoke_url = \"https://{shop}:7391/revoke\"",
        "[authorize.parameters]\nresponse_type = \"token\"",
        "[authorize]\nscope = \"user_scope\"\nparameters = { user_scope = \"x\" }",
        "[authorize]\nnames = { client_id = \"app\" }\nparameters = { app = \"{client_id}\" }",
        "[authorize.names]\nstate = \"s\"",
        "base = \"acme\"",
        "base = 7",
        "base = \"outlook\"",
        "grant_types = [\"jwt_bearer\"]\n[assertion]\nclaims = { exp = \"1\" }",
        "grant_types = [\"jwt_bearer\"]\n[assertion]\nlifetime = \"0s\"",
        "[openid]\nissuer = \"https://a.example\"",
        "[renewal]\nself_renewing = true\nrefresh_token_margin = \"1d\"",
        "[limits]\nconcurrent = 0",
        "[errors]\nx = { verdict = \"grant\", try_alternate_client = true }",
        "[request.parameters]\nx = \"{a??}\"",
        "introspect_url = \"https://a.example/{who?}\"",
    ] {
        let found = mistakes(rest);
        if found.len() != 1 {
            odd.push((rest, found));
        }
    }
    assert_eq!(odd, []);
}

#[test]
fn every_mistake_in_the_newer_tables_is_listed_with_line_and_field() {
    let text = r#"name = "acme"
token_url = "https://acme.example/token"
sources = [" "]
introspect_url = "http://acme.example/i"
device_url = 7
grant_types = ["password"]
single_active_token = "yes"
[authorize]
pkce = "no"
colour = "red"
[authorize.parameters]
x = "{"
[grants.password]
x = 1
[grants.client_credentials]
url = "ftp://acme.example"
client_auth = "bearer_access_token"
required = 7
[grants.client_credentials.response]
expires_in = ["expires"]
[grants.jwt_bearer.parameters]
y = "}"
[assertion]
algorithm = "HS256"
lifetime = "3 minutes"
[client_assertion]
issuer = 1
[client_assertion.claims]
z = "{A}"
[response]
numbers_only = 1
[lifetime]
grant = "0s"
refresh_token_idle = 1
[renewal]
min_age = "a day"
refresh_while_valid = true
[openid]
issuer = "{tid"
jwks_url = "http://acme.example/keys"
[revoke]
method = "PUT"
token = "both"
success = [99]
client_auth = "bearer_refresh_token"
[introspect]
token = "refresh_token"
active = ["active"]
[limits]
per_minute = "many"
"#;
    let found: Vec<(usize, String)> = Catalogue::check(text)
        .into_iter()
        .map(|problem| (problem.line, problem.field))
        .collect();
    let expected = [
        (3, "sources"),
        (4, "introspect_url"),
        (5, "device_url"),
        (6, "grant_types"),
        (7, "single_active_token"),
        (9, "authorize.pkce"),
        (10, "authorize.colour"),
        (12, "authorize.parameters.x"),
        (13, "grants.password"),
        (16, "grants.client_credentials.url"),
        (17, "grants.client_credentials.client_auth"),
        (18, "grants.client_credentials.required"),
        (20, "grants.client_credentials.response.expires_in"),
        (22, "grants.jwt_bearer.parameters.y"),
        (24, "assertion.algorithm"),
        (25, "assertion.lifetime"),
        (27, "client_assertion.issuer"),
        (29, "client_assertion.claims.z"),
        (31, "response.numbers_only"),
        (33, "lifetime.grant"),
        (34, "lifetime.refresh_token_idle"),
        (36, "renewal.min_age"),
        (37, "renewal.refresh_while_valid"),
        (39, "openid.issuer"),
        (40, "openid.jwks_url"),
        (41, "revoke"),
        (42, "revoke.method"),
        (43, "revoke.token"),
        (44, "revoke.success"),
        (45, "revoke.client_auth"),
        (47, "introspect.token"),
        (48, "introspect.active"),
        (50, "limits.per_minute"),
    ];
    let expected: Vec<(usize, String)> = expected
        .map(|(line, field)| (line, field.to_owned()))
        .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn what_a_base_makes_a_mistake_of_is_told_where_the_base_is_named() {
    assert_eq!(
        mistakes("base = \"github\"\n[request]\nmethod = \"GET\"\nbody = \"json\""),
        [
            "line 4: grants.device_code: a GET request has no body: body must be query",
            "line 7: request.body: a GET request has no body: body must be query",
        ]
    );
    assert_eq!(
        mistakes("base = \"outlook\""),
        ["line 4: base: names outlook, which builds on another entry itself"]
    );
}

#[test]
fn every_mistake_in_the_second_request_of_a_code_is_listed_with_line_and_field() {
    let text = r#"name = "acme"
token_url = "https://acme.example/token"
sources = ["htps://acme.example"]
[grants.authorization_code.then]
url = "https://{host}/exchange"
method = "DELETE"
grant_types = "exchange"
client_auth = "bearer_refresh_token"
omit = ["state"]
parameters = { token = "{access_token", ttl = 60 }
[grants.authorization_code.then.response]
access_token = "access_token"
account_id = "/id"
[grants.device_code.then]
url = "https://acme.example/exchange"
"#;
    let found: Vec<(usize, String)> = Catalogue::check(text)
        .into_iter()
        .map(|problem| (problem.line, problem.field))
        .collect();
    let then = "grants.authorization_code.then";
    let expected = [
        (3, "sources".to_owned()),
        (5, format!("{then}.url")),
        (6, format!("{then}.method")),
        (7, format!("{then}.grant_types")),
        (8, format!("{then}.client_auth")),
        (9, format!("{then}.omit")),
        (10, format!("{then}.parameters.token")),
        (10, format!("{then}.parameters.ttl")),
        (12, format!("{then}.response.access_token")),
        (13, format!("{then}.response.account_id")),
        (14, "grants.device_code".to_owned()),
        (14, "grants.device_code.then".to_owned()),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_second_request_must_lead_somewhere_and_send_what_the_first_answer_gave() {
    let table = "[grants.authorization_code.then]\n";
    assert_eq!(
        mistakes(&format!(
            "{table}parameters = {{ t = \"{{access_token}}\" }}"
        )),
        ["line 4: grants.authorization_code.then.url: is missing"]
    );
    let there = format!("{table}url = \"https://acme.example/exchange\"\n");
    let idle = "line 4: grants.authorization_code.then: sends nothing that the first answer gave: \
                a parameter must hold {access_token}";
    for rest in [
        "",
        "parameters = { t = \"{zone}\" }",
        "grant_type = \"exchange\"",
    ] {
        assert_eq!(mistakes(&format!("{there}{rest}")), [idle], "{rest}");
    }
    for rest in [
        "parameters = { t = \"{access_token}\" }",
        "headers = { X-Token = \"{access_token}\" }",
        "parameters = { t = \"{refresh_token}\" }",
        "client_auth = \"bearer_access_token\"",
        "parameters = { t = \"{ticket}\" }\n[grants.authorization_code.response.metadata]\nticket = \"/ticket\"",
    ] {
        assert_eq!(mistakes(&format!("{there}{rest}")), [""; 0], "{rest}");
    }
}

#[test]
fn an_account_is_pointers_and_tables_that_join_pointers() {
    let sound = "{ join = [\"/team\", \"/user\"], with = \"/bot\" }, \"/org\"";
    assert_eq!(
        mistakes(&format!("[response]\naccount = [{sound}]")),
        [""; 0]
    );
    let account = "line 5: response.account";
    for (wrong, told) in [
        ("{ with = \"/bot\" }", ".join: is missing"),
        ("{ join = [] }", ": must join one pointer or more"),
        (
            "{ join = \"team\" }",
            ".join: must be a JSON pointer, which begins with /",
        ),
        (
            "{ join = \"/team\", with = \"bot\" }",
            ".with: must be a JSON pointer, which begins with /",
        ),
        (
            "{ join = \"/team\", without = \"/bot\" }",
            ".without: is no known key; did you mean with?",
        ),
        ("7", ": must be a string, not an integer"),
    ] {
        let rest = format!("[response]\naccount = [{wrong}, {sound}]");
        assert_eq!(mistakes(&rest), [format!("{account}{told}")], "{wrong}");
    }
}
