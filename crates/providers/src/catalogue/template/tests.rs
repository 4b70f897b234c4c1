use super::*;

fn hosts(patterns: &[&str]) -> Vec<HostPattern> {
    let parse = |text: &&str| HostPattern::parse(text).unwrap();
    patterns.iter().map(parse).collect()
}

fn fill(url: &str, allowed: &[&str], value: &str) -> Result<String, TemplateError> {
    let allowed = hosts(allowed);
    let template = UrlTemplate::parse(url, &allowed)?;
    template
        .fill(|_| Some(value), &allowed)
        .map(|url| url.to_string())
}

#[test]
fn placeholders_are_replaced() {
    let template = Template::parse("{a}-{b_2}!").unwrap();
    let lookup = |name: &str| Some(if name == "a" { "1" } else { "2" });
    assert_eq!(template.fill(lookup), Ok(Some("1-2!".to_owned())));
    assert_eq!(template.placeholders().collect::<Vec<_>>(), ["a", "b_2"]);
    let missing = template.fill(|name| (name == "a").then_some("1"));
    assert_eq!(missing, Err(TemplateError::NoValue("b_2".to_owned())));
}

#[test]
fn a_text_with_an_optional_placeholder_counts_for_nothing_without_its_value() {
    let template = Template::parse("for {who?} by {whom}").unwrap();
    let all = |name: &str| Some(if name == "who" { "a" } else { "b" });
    assert_eq!(template.fill(all), Ok(Some("for a by b".to_owned())));
    for without in [None, Some("")] {
        assert_eq!(
            template.fill(|name| if name == "who" { without } else { Some("b") }),
            Ok(None)
        );
    }
    let names: Vec<&str> = template.placeholders().collect();
    assert_eq!(names, ["who", "whom"]);
    let in_url = UrlTemplate::parse("https://a.example/{tenant?}", &[]);
    assert_eq!(in_url, Err(TemplateError::OptionalInUrl));
}

#[test]
fn a_stray_brace_is_a_mistake() {
    for text in [
        "{", "}", "a{b", "a}b", "{}", "{A}", "{a{b}}", "{a-b}", "{?}", "{a??}",
    ] {
        assert_eq!(Template::parse(text), Err(TemplateError::Braces), "{text}");
    }
}

#[test]
fn a_token_url_is_https_unless_it_is_loopback() {
    for good in [
        "https://a.example/t",
        "http://127.0.0.1:1/t",
        "http://[::1]:1/t",
        "http://localhost/t",
    ] {
        assert!(UrlTemplate::parse(good, &[]).is_ok(), "{good}");
    }
    for bad in [
        "http://a.example/t",
        "ftp://a.example/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
    ] {
        let parsed = UrlTemplate::parse(bad, &[]);
        assert_eq!(parsed, Err(TemplateError::Insecure), "{bad}");
    }
    for bad in ["https://u:p@a.example/", "https://a.example/#x"] {
        let parsed = UrlTemplate::parse(bad, &[]);
        assert_eq!(parsed, Err(TemplateError::Extras), "{bad}");
    }
}

#[test]
fn a_value_in_the_path_stays_one_segment() {
    let url = "https://a.example/{tenant}/token";
    assert_eq!(
        fill(url, &[], "a/../b?c#d e").unwrap(),
        "https://a.example/a%2F..%2Fb%3Fc%23d%20e/token"
    );
    for bad in ["", ".", ".."] {
        let bad_value = TemplateError::BadValue("tenant".to_owned());
        assert_eq!(fill(url, &[], bad), Err(bad_value), "{bad:?}");
    }
}

#[test]
fn a_value_in_the_query_adds_no_parameter() {
    let filled = fill("https://a.example/t?x={x}", &[], "1&y=2").unwrap();
    assert_eq!(filled, "https://a.example/t?x=1%26y%3D2");
}

fn not_allowed(allowed: &str) -> TemplateError {
    TemplateError::HostNotAllowed(allowed.to_owned())
}

#[test]
fn a_host_from_a_credential_stays_within_the_allow_list() {
    let url = "https://{host}/services/oauth2/token";
    let allowed = &["*.salesforce.com"];
    assert_eq!(
        fill(url, allowed, "acme.my.salesforce.com").unwrap(),
        "https://acme.my.salesforce.com/services/oauth2/token"
    );
    for outside in [
        "evil.example",
        "salesforce.com",
        "evilsalesforce.com",
        "login.salesforce.com.evil.example",
        "login.salesforce.com:8443",
        "127.0.0.1",
    ] {
        let filled = fill(url, allowed, outside);
        assert_eq!(filled, Err(not_allowed("*.salesforce.com")), "{outside}");
    }
    for bad in [
        "",
        "a/b",
        "u@login.salesforce.com",
        "x?.salesforce.com",
        "a\\b",
        "%2e",
    ] {
        let bad_value = TemplateError::BadValue("host".to_owned());
        assert_eq!(fill(url, allowed, bad), Err(bad_value), "{bad:?}");
    }
}

#[test]
fn an_origin_from_a_credential_stays_within_the_allow_list() {
    let url = "{instance_url}/oauth_token.do";
    let allowed = &["*.service-now.com"];
    assert_eq!(
        fill(url, allowed, "https://acme.service-now.com").unwrap(),
        "https://acme.service-now.com/oauth_token.do"
    );
    assert_eq!(
        fill(url, allowed, "https://evil.example"),
        Err(not_allowed("*.service-now.com"))
    );
    for bad in [
        "acme.service-now.com",
        "http://acme.service-now.com",
        "https://u@acme.service-now.com",
        "https://evil.example/acme.service-now.com",
        "https://acme.service-now.com/?x",
    ] {
        let bad_value = TemplateError::BadValue("instance_url".to_owned());
        assert_eq!(fill(url, allowed, bad), Err(bad_value), "{bad}");
    }
}

#[test]
fn an_open_host_needs_an_allow_list() {
    let no_list = UrlTemplate::parse("https://{shop}.example.com/t", &[]);
    assert_eq!(no_list, Err(TemplateError::NoHosts));
    let plain = UrlTemplate::parse("http://{host}/t", &hosts(&["*.example.com"]));
    assert_eq!(plain, Err(TemplateError::Insecure));
    assert!(UrlTemplate::parse("http://{host}/t", &hosts(&["127.0.0.1:99"])).is_ok());
    assert_eq!(
        fill("http://{host}/t", &["127.0.0.1:99"], "127.0.0.1:98"),
        Err(not_allowed("127.0.0.1:99"))
    );
}

#[test]
fn a_host_pattern_is_a_host_or_everything_below_a_domain() {
    for bad in [
        "",
        "*",
        "*.com",
        "*.*.com",
        "a/b",
        "https://a.example",
        "u@a.example",
    ] {
        assert!(HostPattern::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_url_that_can_lead_to_no_allowed_host_is_a_mistake() {
    for (url, allowed) in [
        ("https://{shop}:7391/t", "*.acme.example"),
        ("https://{shop}.acme.example/t", "*.acne.example"),
        ("https://{shop}.acme.example/t", "*.acme.example:7391"),
        ("https://{shop}.acme.example:7391/t", "acme.example:7391"),
    ] {
        let refused = UrlTemplate::parse(url, &hosts(&[allowed])).unwrap_err();
        assert!(
            matches!(refused, TemplateError::NoHostFits(_)),
            "{url} {allowed}"
        );
    }
    for (url, allowed) in [
        ("https://{shop}:7391/t", "*.acme.example:7391"),
        ("https://{shop}/t", "*.acme.example:7391"),
        ("https://{shop}:443/t", "*.acme.example"),
        ("https://{shop}.ACME.example/t?a={b}", "*.acme.example"),
        ("https://{shop}.eu.acme.example/t", "*.acme.example"),
        ("https://{shop}.acme.example/t", "seven.acme.example"),
        ("{origin}/t", "*.acme.example"),
    ] {
        UrlTemplate::parse(url, &hosts(&[allowed])).unwrap();
    }
}
