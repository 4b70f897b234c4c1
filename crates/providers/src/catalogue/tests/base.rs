//! Entries that build on another.

use super::*;

#[test]
fn an_entry_says_only_what_differs_from_its_base() {
    let (microsoft, outlook) = (builtin("microsoft"), builtin("outlook"));
    assert_eq!(outlook.name.as_str(), "outlook");
    assert_eq!(outlook.token_url, microsoft.token_url);
    assert_eq!(outlook.errors, microsoft.errors);
    assert_eq!(outlook.lifetime, microsoft.lifetime);
    assert_eq!(outlook.rotation, microsoft.rotation);
    let both = [GrantKind::AuthorizationCode, GrantKind::Static];
    assert_eq!(outlook.grant_types, both);
    let sandbox = builtin("salesforce-sandbox");
    assert_eq!(sandbox.placeholders["host"], "test.salesforce.com");
    assert_eq!(sandbox.allowed_hosts, builtin("salesforce").allowed_hosts);
}

#[test]
fn tables_are_merged_and_all_else_is_replaced() {
    let entry = one(r#"
name = "acme"
base = "feishu"
sources = ["https://acme.example"]
[grants.client_credentials]
url = "https://acme.example/t"
[grants.client_credentials.response]
failure = { pointer = "/ok", equals = false }
[errors]
20002 = "request"
mine = "grant"
"#);
    let base = builtin("feishu");
    let grant = |entry: &Entry| entry.grants.get(TokenGrant::ClientCredentials).clone();
    assert_eq!(grant(&entry).request, grant(&base).request);
    assert_eq!(
        grant(&entry).url.value.to_string(),
        "https://acme.example/t"
    );
    let failure = &grant(&entry).response.failure;
    assert_eq!(failure[0].sign, FailureSign::Equals(false.into()));
    assert_eq!(entry.sources, ["https://acme.example"]);
    assert!(!entry.errors["20002"].try_next_secret);
    assert_eq!(entry.errors.len(), base.errors.len() + 1);
}
