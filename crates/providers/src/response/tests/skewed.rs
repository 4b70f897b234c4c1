//! Answers of providers whose clock is not ours. Ours shows 22:13:20 when the request is sent, and a second more when
//! the answer is there.

use super::*;

const AT: &str = "{\"access_token\":\"t\",\"expires_at\":1700003600}";

fn entry_with_expires_at() -> Entry {
    acme("[response]\nexpires_at = [\"/expires_at\"]\n")
}

fn end_of(body: &str, date: Option<&str>) -> Option<Timestamp> {
    let mut answer = answer(200, body);
    answer.date = date.map(str::to_owned);
    read_answer(&entry_with_expires_at(), &answer)
        .unwrap()
        .expires_at
}

#[test]
fn an_absolute_end_is_by_the_providers_clock() {
    for (date, expected) in [
        ("Tue, 14 Nov 2023 22:13:21 GMT", 3600),
        ("Tue, 14 Nov 2023 22:23:21 GMT", 3000),
        ("Tue, 14 Nov 2023 22:03:21 GMT", 4200),
        ("Tue, 14 Nov 2023 22:13:23 GMT", 3598),
    ] {
        assert_eq!(end_of(AT, Some(date)), after(expected), "{date}");
    }
}

#[test]
fn a_difference_below_two_seconds_or_above_a_day_is_none() {
    for date in [
        "Tue, 14 Nov 2023 22:13:22 GMT",
        "Tue, 14 Nov 2023 22:13:20 GMT",
        "Wed, 15 Nov 2023 22:13:22 GMT",
        "Mon, 13 Nov 2023 22:13:20 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "noon",
        "",
    ] {
        assert_eq!(end_of(AT, Some(date)), after(3600), "{date}");
    }
    assert_eq!(end_of(AT, None), after(3600));
    let a_day = "Wed, 15 Nov 2023 22:13:21 GMT";
    assert_eq!(end_of(AT, Some(a_day)), None, "it had ended by that clock");
}

#[test]
fn an_end_that_lies_in_our_past_counts_by_the_providers_clock() {
    let body = "{\"access_token\":\"t\",\"expires_at\":1699998000}";
    assert_eq!(end_of(body, None), None);
    let behind = "Tue, 14 Nov 2023 20:13:21 GMT";
    assert_eq!(end_of(body, Some(behind)), after(7200 - 2000));
}

#[test]
fn a_relative_end_needs_no_clock_of_the_provider() {
    let body = "{\"access_token\":\"t\",\"expires_in\":60}";
    let ahead = "Tue, 14 Nov 2023 23:13:21 GMT";
    assert_eq!(end_of(body, Some(ahead)), after(60));
}

#[test]
fn the_date_of_a_retry_after_is_by_the_providers_clock() {
    let ask = |text: &str, date: &str| {
        let mut answer = answer(429, "");
        answer.retry_after = Some(text.to_owned());
        answer.date = Some(date.to_owned());
        read_answer(&acme(""), &answer).unwrap_err().retry_after
    };
    let ahead = "Tue, 14 Nov 2023 22:23:21 GMT";
    let in_a_minute = "Tue, 14 Nov 2023 22:24:21 GMT";
    let minute = Some(Duration::from_secs(60));
    assert_eq!(ask(in_a_minute, ahead), minute);
    assert_eq!(ask("60", ahead), minute);
    let late = "Sun, 31 Dec 2023 22:24:21 GMT";
    assert_eq!(ask(late, ahead), Some(LONGEST_RETRY_AFTER));
}
