use super::*;

fn gate_at(bench: &Bench, point: Point, family: &str) -> Gate {
    bench.control.add_gate(GateRule {
        point,
        family: Some(family.to_owned()),
    })
}

/// Waits until the last entry of the ledger is as `condition` says.
async fn last_entry(bench: &Bench, condition: impl Fn(&Entry) -> bool) -> Entry {
    within(async {
        loop {
            let last = bench.control.ledger().entries.pop().unwrap();
            if condition(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_gate_holds_calls_of_its_family_and_lets_them_go() {
    let bench = Bench::start().await;
    let held = bench.grant(RotationMode::Strict);
    let free = bench.grant(RotationMode::Strict);
    let gate = gate_at(&bench, Point::BeforeProcessing, &held.family);
    let request = bench.request("/token", held.refresh_token.expose());
    let (answer, ()) = tokio::join!(answer(request), async {
        within(gate.wait_for_arrivals(1)).await;
        bench.rotate(free.refresh_token.expose()).await;
        let status = gate.status();
        assert_eq!((status.waiting, status.arrived, status.open), (1, 1, false));
        assert_eq!(bench.control.grant(&held.family).unwrap().refreshes, 0);
        gate.open();
    });
    assert_eq!(answer.0, 200);
    assert_eq!(gate.status().waiting, 0);
    bench.rotate(&text(&answer.1, "refresh_token")).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_gate_after_processing_holds_the_answer_of_a_spent_token() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let gate = gate_at(&bench, Point::AfterProcessing, &grant.family);
    let request = bench.request("/token", grant.refresh_token.expose());
    let (answer, ()) = tokio::join!(answer(request), async {
        within(gate.wait_for_arrivals(1)).await;
        assert_eq!(bench.control.grant(&grant.family).unwrap().refreshes, 1);
        gate.open();
    });
    assert_eq!(answer.0, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_request_whose_client_died_is_processed_all_the_same() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let gate = gate_at(&bench, Point::BeforeProcessing, &grant.family);
    let request = bench.request("/token", grant.refresh_token.expose());
    tokio::select! {
        _ = request.send() => panic!("the gate lets nothing through"),
        () = within(gate.wait_for_arrivals(1)) => {}
    }
    let left = last_entry(&bench, |entry| entry.client_left.is_some()).await;
    assert_eq!((left.outcome, left.ended), (None, None));
    gate.open();
    let entry = last_entry(&bench, |entry| entry.ended.is_some()).await;
    assert_eq!(entry.outcome, Some(Outcome::Issued));
    assert_eq!(bench.control.ledger().lost_rotations().len(), 1);
    bench.stop().await;
}

#[tokio::test]
async fn the_ledger_is_one_order_and_tells_who_issued_what() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let second = bench.rotate(grant.refresh_token.expose()).await;
    bench.rotate(&second).await;

    let ledger = bench.control.ledger();
    let numbers = ledger
        .entries
        .iter()
        .flat_map(|entry| [Some(entry.sequence), entry.processed, entry.ended].map(Option::unwrap));
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert_eq!(ledger.last, 9);
    let [created, first, then] = &ledger.entries[..] else {
        panic!("three entries");
    };
    assert_eq!(created.endpoint, Endpoint::Control);
    assert_eq!(created.issued_refresh_token, first.refresh_token);
    assert_eq!(first.issued_refresh_token, Some(Fingerprint::of(&second)));
    assert_eq!(first.issued_refresh_token, then.refresh_token);
    assert_eq!(
        (first.parent, then.parent),
        (Some(created.sequence), Some(first.sequence))
    );
    assert_eq!(ledger.violations(), []);
    assert_eq!(ledger.calls_beyond(1), []);
    bench.stop().await;
}

#[tokio::test]
async fn r3_overlapping_calls_over_http_are_found() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::SingleUse);
    let gate = gate_at(&bench, Point::AfterProcessing, &grant.family);
    let token = grant.refresh_token.expose();
    let (one, two, ()) = tokio::join!(bench.refresh(token), bench.refresh(token), async {
        within(gate.wait_for_arrivals(2)).await;
        gate.open();
    });
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let ledger = bench.control.ledger();
    assert!(matches!(
        ledger.violations()[..],
        [Violation::Overlap { .. }]
    ));
    assert_eq!(ledger.calls_beyond(1).len(), 1);
    bench.stop().await;
}
