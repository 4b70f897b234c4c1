//! Consents on another device.

use super::*;

pub(super) fn begin_device() -> BeginDevice {
    let Begin {
        key,
        client,
        labels,
        scopes,
        placeholders,
        allow_account_change,
        ..
    } = begin();
    BeginDevice {
        key,
        client,
        labels,
        scopes,
        placeholders,
        allow_account_change,
    }
}

impl Scene {
    fn next_poll(&self, answer: Result<DeviceAnswer, Denied>) {
        self.authority.polls.lock().unwrap().push_back(answer);
    }

    async fn poll(&self, state: &str) -> Result<Polled, ConsentError> {
        self.consents.poll_device(state.into(), None).await
    }
}

#[tokio::test]
async fn a_device_asks_until_its_user_has_decided() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin_device(begin_device()).await.unwrap();
    assert_eq!(begun.user_code, "WDJB-MJHT");
    let left = begun.expires_at.since(SystemClock.now());
    assert!(left > Duration::from_secs(290) && left <= Duration::from_secs(300));

    for (answer, slow_down) in [
        (DeviceAnswer::Pending, false),
        (DeviceAnswer::SlowDown, true),
    ] {
        scene.next_poll(Ok(answer));
        assert_eq!(
            scene.poll(&begun.state).await,
            Ok(Polled::Pending { slow_down })
        );
    }
    scene.next_poll(Err(Denied {
        reason: Some(FailureReason::ProviderUnavailable),
        code: String::new(),
        message: "acme did not answer".into(),
    }));
    let passing = scene.poll(&begun.state).await.unwrap_err();
    assert_eq!(
        passing.to_string(),
        "acme did not answer",
        "the state is not spent"
    );

    let stranger = Some(vec![TenantId::parse("t2").unwrap()]);
    let elsewhere = scene
        .consents
        .poll_device(begun.state.as_str().into(), stranger);
    assert_eq!(elsewhere.await, Err(ConsentError::StateInvalid));
    let browser = scene.consents.complete(code(&begun.state), None).await;
    assert_eq!(
        browser.result,
        Err(ConsentError::StateInvalid),
        "it is no browser's state"
    );
    let disguised = code(&format!("device:{}", begun.state));
    let browser = scene.consents.complete(disguised, None).await;
    assert_eq!(browser.result, Err(ConsentError::StateInvalid));

    scene.next_poll(Ok(DeviceAnswer::Granted(Box::new(granted("a1")))));
    let Ok(Polled::Completed(done)) = scene.poll(&begun.state).await else {
        panic!("the user consented");
    };
    assert!(done.created);
    assert_eq!(scene.view().await.grant.account.as_deref(), Some("a1"));
    assert_eq!(
        scene.poll(&begun.state).await,
        Err(ConsentError::StateInvalid)
    );
}

#[tokio::test]
async fn a_device_whose_user_says_no_asks_no_more() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin_device(begin_device()).await.unwrap();
    scene.next_poll(Err(Denied {
        reason: None,
        code: "access_denied".into(),
        message: "no".into(),
    }));
    let refused = scene.poll(&begun.state).await;
    assert!(
        matches!(refused, Err(ConsentError::Refused { .. })),
        "{refused:?}"
    );
    assert_eq!(
        scene.poll(&begun.state).await,
        Err(ConsentError::StateInvalid)
    );
}

#[tokio::test]
async fn a_device_whose_tokens_cannot_be_believed_asks_no_more() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin_device(begin_device()).await.unwrap();
    scene.next_poll(Ok(DeviceAnswer::Spent(Denied {
        reason: Some(FailureReason::ProviderUnavailable),
        code: String::new(),
        message: "the issuer's key set cannot be fetched".into(),
    })));
    let failed = scene.poll(&begun.state).await.unwrap_err().to_string();
    assert_eq!(
        failed,
        "the issuer's key set cannot be fetched; the state is spent, begin again"
    );
    assert_eq!(
        scene.poll(&begun.state).await,
        Err(ConsentError::StateInvalid)
    );
}

#[tokio::test]
async fn a_browsers_state_is_no_devices() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    assert_eq!(
        scene.poll(&begun.state).await,
        Err(ConsentError::StateInvalid)
    );
    let ended = scene.consents.complete(code(&begun.state), None).await;
    assert!(ended.result.is_ok());
}

#[tokio::test]
async fn a_device_that_could_never_ask_is_refused_at_once() {
    let scene = Scene::new().await;
    let closed = BeginDevice {
        placeholders: BTreeMap::from([("shop".into(), "closed".into())]),
        ..begin_device()
    };
    let error = scene.consents.begin_device(closed).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "credential.provider: catalogue entry acme: no Device"
    );
}
