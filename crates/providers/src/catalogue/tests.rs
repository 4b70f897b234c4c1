use std::time::Duration;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{Rotation, Verdict};

use super::*;

const MINIMAL: &str = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n";

fn one(text: &str) -> Arc<Entry> {
    let mut catalogue = Catalogue::empty();
    let name = catalogue.add(text, "test").unwrap();
    catalogue.get(&name).unwrap().clone()
}

fn builtin(name: &str) -> Arc<Entry> {
    let name = ProviderName::parse(name).unwrap();
    Catalogue::builtin().get(&name).unwrap().clone()
}

/// The mistakes of a sound entry with `rest` added, without those of its first two lines.
fn mistakes(rest: &str) -> Vec<String> {
    let problems = Catalogue::check(&format!("{MINIMAL}{rest}"));
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn every_built_in_entry_is_listed_sound_and_says_where_its_facts_are_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let listed: Vec<&str> = BUILTIN.iter().map(|(file, _)| *file).collect();
    assert_eq!(listed, files);

    for (file, text) in BUILTIN {
        assert_eq!(Catalogue::check(text), [], "{file}");
        let entry = one(text);
        assert_eq!(format!("{}.toml", entry.name), *file);
        assert!(!entry.sources.is_empty(), "{file}");
        let consents = entry.grant_types.contains(&GrantKind::AuthorizationCode);
        assert_eq!(entry.authorize_url.is_some(), consents, "{file}");
    }
    assert_eq!(Catalogue::builtin().iter().count(), BUILTIN.len());
}

#[test]
fn what_an_entry_leaves_out_is_as_the_rfc_has_it_and_careful_about_rotation() {
    let entry = one(MINIMAL);
    assert_eq!(entry.request.method, Method::Post);
    assert_eq!(entry.request.body, BodyFormat::Form);
    assert_eq!(entry.request.client_auth, ClientAuth::Body);
    assert_eq!(entry.rotation, Rotation::SingleUse);
    assert_eq!(entry.lifetime, Lifetime::default());
    assert_eq!(entry.token.header, "Authorization");
    assert_eq!(entry.token.scheme, "Bearer");
    assert!(entry.renewable && !entry.flaky_refusals);
    let both = [GrantKind::AuthorizationCode, GrantKind::Static];
    assert_eq!(entry.grant_types, both);
}

#[test]
fn facts_of_built_in_entries_that_the_refresh_protocol_depends_on() {
    let rotations = [
        ("attio", Rotation::None),
        ("github", Rotation::SingleUse),
        ("google", Rotation::None),
        ("hubspot", Rotation::Rotates),
        ("microsoft", Rotation::Rotates),
        ("notion", Rotation::SingleUse),
        ("salesforce", Rotation::SingleUse),
        ("slack", Rotation::SingleUse),
    ];
    for (name, rotation) in rotations {
        assert_eq!(builtin(name).rotation, rotation, "{name}");
    }
    let day = 86_400;
    let microsoft = builtin("microsoft").lifetime.refresh_token;
    assert_eq!(microsoft, Some(Duration::from_secs(90 * day)));
    // A token whose end is not stated may never end: those of Slack apps without rotation, and of OAuth apps of GitHub.
    for name in ["github", "salesforce", "slack"] {
        assert_eq!(builtin(name).lifetime.access_token, None, "{name}");
    }
    assert!(!builtin("attio").renewable);
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
        (4, "refresh_url"),
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
        (21, "errors.late"),
        (22, "uncoded"),
        (24, "rotation"),
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
        ["line 4: request.body: must be one of form, json, query, not \"xml\""]
    );
    assert_eq!(mistakes("x = 1"), ["line 3: x: is no known key"]);
    assert_eq!(
        mistakes("renewable = \"no\""),
        ["line 3: renewable: must be true or false, not a string"]
    );
}

#[test]
fn missing_keys_are_named() {
    let problems: Vec<String> = Catalogue::check("")
        .iter()
        .map(|problem| problem.field.clone())
        .collect();
    assert_eq!(problems, ["name", "token_url"]);
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    let problems = Catalogue::check("name = \"acme\"\ntoken_url = = 1\n");
    assert!(!problems.is_empty());
    assert!(problems.iter().all(|problem| problem.line == 2));
}

#[test]
fn contradictions_are_mistakes() {
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
        "[grants.client_credentials]\nmethod = \"GET\"\nbody = \"form\"",
        "[request]\nmethod = \"GET\"\n[grants.jwt_bearer]\nbody = \"json\"",
        "refresh_url = \"https://a.example/r\"\n[grants.refresh_token]\nurl = \"https://a.example/s\"",
        "grant_types = [\"jwt_bearer\"]",
        "grant_types = [\"device_code\"]",
        "[assertion]\nclaims = { exp = \"1\" }",
        "[assertion]\nlifetime = \"0s\"",
        "[openid]\nissuer = \"https://a.example\"",
        "[renewal]\nself_renewing = true\nrefresh_token_margin = \"1d\"",
        "[limits]\nconcurrent = 0",
        "[errors]\nx = { verdict = \"grant\", try_alternate_client = true }",
        "[request.parameters]\nx = \"{a??}\"",
        "introspect_url = \"https://a.example/{who?}\"",
    ] {
        assert_eq!(mistakes(rest).len(), 1, "{rest}: {:?}", mistakes(rest));
    }
}

#[test]
fn every_mistake_in_the_newer_tables_is_listed_with_line_and_field() {
    let text = r#"name = "acme"
token_url = "https://acme.example/token"
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
active = ["active"]
[limits]
per_minute = "many"
"#;
    let found: Vec<(usize, String)> = Catalogue::check(text)
        .into_iter()
        .map(|problem| (problem.line, problem.field))
        .collect();
    let expected = [
        (3, "introspect_url"),
        (4, "device_url"),
        (5, "grant_types"),
        (6, "single_active_token"),
        (8, "authorize.pkce"),
        (9, "authorize.colour"),
        (11, "authorize.parameters.x"),
        (12, "grants.password"),
        (15, "grants.client_credentials.url"),
        (16, "grants.client_credentials.client_auth"),
        (17, "grants.client_credentials.required"),
        (19, "grants.client_credentials.response.expires_in"),
        (21, "grants.jwt_bearer.parameters.y"),
        (23, "assertion.algorithm"),
        (24, "assertion.lifetime"),
        (26, "client_assertion.issuer"),
        (28, "client_assertion.claims.z"),
        (30, "response.numbers_only"),
        (32, "lifetime.grant"),
        (33, "lifetime.refresh_token_idle"),
        (35, "renewal.min_age"),
        (36, "renewal.refresh_while_valid"),
        (38, "openid.issuer"),
        (39, "openid.jwks_url"),
        (41, "revoke.method"),
        (42, "revoke.token"),
        (43, "revoke.success"),
        (44, "revoke.client_auth"),
        (46, "introspect.active"),
        (48, "limits.per_minute"),
    ];
    let expected: Vec<(usize, String)> = expected
        .map(|(line, field)| (line, field.to_owned()))
        .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn a_grant_type_replaces_single_values_and_lists_and_merges_tables() {
    let entry = one(&format!(
        r#"{MINIMAL}
        refresh_url = "https://acme.example/refresh"
        grant_types = ["authorization_code", "client_credentials"]
        [request]
        client_auth = "basic"
        omit = ["redirect_uri"]
        [request.names]
        client_id = "app_id"
        [request.headers]
        X-Version = "1"
        [request.parameters]
        a = "1"
        b = "1"
        [response]
        expires_in = ["/expire"]
        [response.metadata]
        team = "/team"
        [grants.client_credentials]
        url = "https://acme.example/mint"
        grant_type = "account_credentials"
        body = "json"
        omit = []
        default_scopes = [".default"]
        required = ["account_id"]
        names = {{ client_secret = "app_secret" }}
        headers = {{ x-version = "2" }}
        parameters = {{ b = "2", c = "{{account_id?}}" }}
        [grants.client_credentials.response]
        access_token = ["/tenant_access_token"]
        [grants.client_credentials.response.metadata]
        org = "/org"
        "#
    ));
    let mint = entry.grants.get(TokenGrant::ClientCredentials);
    assert_eq!(mint.url.value.to_string(), "https://acme.example/mint");
    assert_eq!(mint.url.field, "grants.client_credentials.url");
    assert_eq!(mint.grant_type, "account_credentials");
    assert_eq!(mint.request.client_auth, ClientAuth::Basic);
    assert_eq!(mint.request.body, BodyFormat::Json);
    assert_eq!(mint.request.omit, []);
    assert_eq!(mint.request.name_of(Parameter::ClientId), "app_id");
    assert_eq!(mint.request.name_of(Parameter::ClientSecret), "app_secret");
    assert_eq!(mint.request.headers.len(), 1);
    let parameters: Vec<(&str, &str)> = mint
        .request
        .parameters
        .iter()
        .map(|(name, fact)| (name.as_str(), fact.field.as_str()))
        .collect();
    let expected = [
        ("a", "request.parameters.a"),
        ("b", "grants.client_credentials.parameters.b"),
        ("c", "grants.client_credentials.parameters.c"),
    ];
    assert_eq!(parameters, expected);
    assert_eq!(mint.default_scopes, [".default"]);
    assert_eq!(mint.required, ["account_id"]);
    assert_eq!(mint.response.access_token.0, ["/tenant_access_token"]);
    assert_eq!(mint.response.expires_in.0, ["/expire"]);
    assert_eq!(mint.response.metadata.len(), 2);

    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    assert_eq!(code.grant_type, "authorization_code");
    assert_eq!(code.url.field, "token_url");
    assert_eq!(code.request.omit, [Parameter::RedirectUri]);
    let refresh = entry.grants.get(TokenGrant::RefreshToken);
    assert_eq!(
        refresh.url.value.to_string(),
        "https://acme.example/refresh"
    );
    let jwt = entry.grants.get(TokenGrant::JwtBearer);
    assert_eq!(
        jwt.grant_type,
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
}

#[test]
fn a_secret_is_demanded_only_for_what_a_user_consents_to() {
    let demands = |rest: &str| {
        let entry = one(&format!("{MINIMAL}{rest}"));
        (entry.demands_secret(), entry.demands_private_key())
    };
    assert_eq!(demands(""), (true, false));
    assert_eq!(demands("grant_types = [\"static\"]"), (false, false));
    assert_eq!(
        demands("grant_types = [\"client_credentials\"]"),
        (false, false)
    );
    assert_eq!(demands("[request]\nclient_auth = \"none\""), (false, false));
    let key = "[request]\nclient_auth = \"private_key_jwt\"";
    assert_eq!(demands(key), (false, true));
    let device = "device_url = \"https://acme.example/d\"\ngrant_types = [\"device_code\"]\n\
                  [grants.device_code]\nclient_auth = \"none\"";
    assert_eq!(
        demands(device),
        (true, false),
        "its refresh tokens need one"
    );
}

#[test]
fn revocation_goes_as_the_rfc_has_it_with_the_client_of_the_token_endpoint() {
    let entry = one(&format!(
        r#"{MINIMAL}
        [request]
        body = "json"
        client_auth = "basic"
        headers = {{ X-Version = "1" }}
        parameters = {{ a = "1" }}
        "#
    ));
    for call in [&entry.revoke, &entry.introspect.call] {
        assert_eq!(call.request.body, BodyFormat::Form);
        assert_eq!(call.request.client_auth, ClientAuth::Basic);
        assert_eq!(call.request.headers.len(), 1);
        assert!(call.request.parameters.is_empty());
    }
    assert_eq!(entry.revoke.token, TokenKind::RefreshToken);
    assert_eq!(entry.introspect.call.token, TokenKind::AccessToken);
    let entry = one(&format!(
        "{MINIMAL}[request]\nclient_auth = \"bearer_refresh_token\""
    ));
    assert_eq!(entry.revoke.request.client_auth, ClientAuth::None);
}

#[test]
fn a_code_may_have_a_reason_and_a_verdict_may_stand_alone() {
    let entry = one(&format!(
        r#"{MINIMAL}
        [errors]
        190 = "grant"
        denied = {{ verdict = "grant", reason = "access_denied" }}
        reused = {{ verdict = "grant", reason = "rotation_lost" }}
        secret = {{ verdict = "client", try_next_secret = true }}
        busy = "rate_limit"
        [uncoded]
        401 = "grant"
        [rotation]
        mode = "grace"
        grace = "10m"
        "#
    ));
    let verdict = |code: &str| entry.errors[code].verdict;
    assert_eq!(
        verdict("190"),
        Verdict::Grant(InvalidationReason::GrantRevoked)
    );
    assert_eq!(
        verdict("denied"),
        Verdict::Grant(InvalidationReason::AccessDenied)
    );
    assert_eq!(
        verdict("reused"),
        Verdict::Grant(InvalidationReason::RotationLost)
    );
    assert_eq!(verdict("busy"), Verdict::RateLimit);
    assert!(entry.errors["secret"].try_next_secret);
    assert_eq!(entry.uncoded.len(), 1);
    assert_eq!(entry.rotation, Rotation::Grace(Duration::from_secs(600)));
}

#[test]
fn an_own_entry_replaces_a_built_in_one_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let slack = "name = \"slack\"\ntoken_url = \"https://slack.example/token\"\n";
    fs::write(dir.path().join("mine.toml"), slack).unwrap();
    fs::write(dir.path().join("acme.toml"), MINIMAL).unwrap();
    fs::write(dir.path().join("README.md"), "no entry").unwrap();

    let mut catalogue = Catalogue::builtin();
    catalogue.add_dir(dir.path()).unwrap();
    assert_eq!(catalogue.iter().count(), BUILTIN.len() + 1);
    let slack = catalogue
        .get(&ProviderName::parse("slack").unwrap())
        .unwrap();
    assert_eq!(slack.token_url.to_string(), "https://slack.example/token");
}

#[test]
fn a_folder_with_a_mistake_adds_nothing_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), MINIMAL).unwrap();
    fs::write(dir.path().join("b.toml"), "name = \"b\"\ntokens = 1\n").unwrap();
    let mut catalogue = Catalogue::empty();
    let error = catalogue.add_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("b.toml"), "{error}");
    assert!(error.contains("token_url: is missing"), "{error}");
    assert!(error.contains("line 2: tokens: is no known key"), "{error}");
    assert_eq!(catalogue.iter().count(), 0);
}

#[test]
fn two_files_for_one_provider_are_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), MINIMAL).unwrap();
    fs::write(dir.path().join("b.toml"), MINIMAL).unwrap();
    let error = Catalogue::empty().add_dir(dir.path()).unwrap_err();
    assert!(matches!(error, CatalogueError::Twice { .. }), "{error}");
}

#[test]
fn a_missing_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = Catalogue::empty()
        .add_dir(&dir.path().join("none"))
        .unwrap_err();
    assert!(matches!(error, CatalogueError::Unreadable { .. }));
}

// A132
#[test]
fn only_names_in_the_catalogue_are_found() {
    let catalogue = Catalogue::builtin();
    for name in ["constructor", "toString", "__proto__", "Slack", "slac"] {
        assert!(catalogue.get(&ProviderName::parse(name).unwrap()).is_none());
    }
}
