//! Values that can never work are told with their line.

use evergrant_core::provider::Verdict;

use super::*;

#[test]
fn sources_are_demanded_and_are_urls_or_words() {
    let check = |sources: &str| {
        let text = format!("name = \"acme\"\ntoken_url = \"https://acme.example/t\"\n{sources}");
        let problems = Catalogue::check(&text);
        problems.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    assert_eq!(check(""), ["line 1: sources: is missing"]);
    let line = |why: &str| [format!("line 3: sources: {why}")];
    assert_eq!(check("sources = []"), line("must have one item or more"));
    assert_eq!(check("sources = \" \""), line("must name a document"));
    for odd in [
        "htps://acme.example",
        "ftp://acme.example",
        "https://",
        "://x",
    ] {
        let found = check(&format!("sources = [\"{odd}\"]"));
        assert_eq!(found, line("is no URL of a document"), "{odd}");
    }
    let twice = "sources = [\"https://a.example\",\n\"https://a.example\"]";
    assert_eq!(
        check(twice),
        ["line 4: sources: has \"https://a.example\" twice"]
    );
    for fine in [
        "https://a.example/#x",
        "the sandbox of this test",
        "docs/a.md",
    ] {
        assert_eq!(check(&format!("sources = [\"{fine}\"]")), [""; 0], "{fine}");
    }
}

#[test]
fn an_issuer_is_a_url_that_claims_may_stand_in() {
    let openid = |issuer: &str| {
        told(&format!(
            "[openid]\nissuer = \"{issuer}\"\njwks_url = \"https://a.example/k\""
        ))
    };
    for fine in [
        "https://a.example/{tid}/v2",
        "https://{host}",
        "http://127.0.0.1:80",
    ] {
        assert_eq!(openid(fine), [""; 0], "{fine}");
    }
    let insecure = "must be https unless its host is a loopback address";
    for (odd, why) in [
        ("acme", "is no URL, such as https://acme.example/token"),
        ("http://a.example", insecure),
        (
            "https://a.example/#x",
            "must have no user name, password or fragment",
        ),
        (
            "https://a.example/{tid?}",
            "is a URL, in which no placeholder can be left out",
        ),
    ] {
        assert_eq!(
            openid(odd),
            [format!("line 5: openid.issuer: {why}")],
            "{odd}"
        );
    }
}

#[test]
fn hosts_are_of_use_and_defaults_lead_to_them() {
    let open = "revoke_url = \"https://api.{region}.acme.example/r\"\n";
    each(&[
        (
            "allowed_hosts = [\"*.acme.example\"]",
            "line 4: allowed_hosts: stands for nothing: no URL has a placeholder in its host",
        ),
        (
            &format!(
                "{open}allowed_hosts = [\n\"api.eu.acme.example\",\n\"www.eu.acme.example\",\n]"
            ),
            "line 7: allowed_hosts: has www.eu.acme.example, which no URL of the entry can lead to",
        ),
        (
            &format!("{open}allowed_hosts = [\"*.acme.example\", \"*.acme.example\"]"),
            "line 5: allowed_hosts: has \"*.acme.example\" twice",
        ),
        (
            &format!(
                "{open}allowed_hosts = [\"api.eu.acme.example\"]\n[placeholders]\nregion = \"us\""
            ),
            "line 7: placeholders.region: leads revoke_url to the host api.us.acme.example, which is outside \
             allowed_hosts of provider acme (api.eu.acme.example)",
        ),
    ]);
}

#[test]
fn pointers_statuses_and_codes_are_such() {
    each(&[
        (
            "[response]\nscope = \"/a//b\"",
            "line 5: response.scope: must be a JSON pointer, which has a name behind each /",
        ),
        (
            "[response]\nscope = \"/a~2\"",
            "line 5: response.scope: must be a JSON pointer, in which ~0 stands for ~ and ~1 for /",
        ),
        (
            "[response]\naccess_token = []",
            "line 5: response.access_token: must lead somewhere: without it no answer holds a token",
        ),
        (
            "[response]\nfailure = { pointer = \"/ok\", present = false }",
            "line 5: response.failure.present: must be true: what is absent marks no failure",
        ),
        (
            "revoke_url = \"https://acme.example/r\"\n[revoke]\nsuccess = [302]",
            "line 6: revoke.success: is no HTTP status of 200 to 299 or 400 to 499",
        ),
        (
            "introspect_url = \"https://acme.example/i\"\n[introspect]\nsuccess = [200]",
            "line 6: introspect.success: is no known key: [introspect] may have active, body, client_auth, expires_at, \
             failure, headers, method, names, omit, parameters, scope_separator",
        ),
        (
            "userinfo_url = \"https://acme.example/me\"\n[userinfo]\nclient_auth = \"basic\"",
            "line 6: userinfo.client_auth: must be one of bearer_access_token, not \"basic\"",
        ),
        (
            "userinfo_url = \"https://acme.example/me\"\n[userinfo]\naccount = []",
            "line 6: userinfo.account: must have one item or more",
        ),
        (
            "[errors]\n\"\" = \"grant\"",
            "line 5: errors.: \"\" is no error code: 1 to 64 of a-z, A-Z, 0-9, _ . : -, and not 0",
        ),
    ]);
}

#[test]
fn a_code_may_be_bound_to_words_of_its_description() {
    let entry = one(&format!(
        "{MINIMAL}[errors]\nx = [{{ verdict = \"grant\", described = \"is dead\" }}, \"client\"]"
    ));
    let bound: Vec<&str> = entry.described["x"].iter().map(|one| &*one.words).collect();
    assert_eq!(bound, ["is dead"]);
    assert_eq!(entry.errors["x"].verdict, Verdict::Client);
    each(&[
        (
            "[errors]\nx = { verdict = \"grant\", described = \" \" }",
            "line 5: errors.x.described: must be words of the description",
        ),
        (
            "[errors]\nx = [\"client\",\n{ verdict = \"grant\", described = \"a\" }]",
            "line 6: errors.x: comes behind one that always counts: only the last of a list goes without described",
        ),
        (
            "[errors]\nx = []",
            "line 5: errors.x: must have one item or more",
        ),
        (
            "[uncoded]\n400 = { verdict = \"grant\", described = \"a\" }",
            "line 5: uncoded.400: has described, which belongs to [errors]: here is no code",
        ),
    ]);
}
