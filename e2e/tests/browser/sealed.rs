//! The session server whose sessions are in their cookies.

use e2e::{Browser, Cookie, Outcome, run};
use serde_json::Value;

use crate::people::{NAME, cookie_of, is_alive, is_refused, set_up, sign_out};

#[test]
fn a_person_is_signed_in_by_the_cookie_alone_outgrows_it_without_harm_and_is_out_after_signing_out() {
    run("sealed", &["--store", "sealed:?revocations=sqlite:"], async |world| -> Outcome {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let first = cookie_of(world, &browser).await?;
        assert!(first.value.starts_with("cs1_"));
        assert_eq!(first, Cookie { value: first.value.clone(), ..as_promised() });
        assert_eq!(browser.text("[data-test='principal']").await?, NAME);

        let (status, _) = keep(&browser, 1_000).await?;
        assert_eq!(status, 200);
        let second = cookie_of(world, &browser).await?;
        assert_ne!(second.value, first.value, "what the session holds is what the cookie holds");
        let (status, told) = keep(&browser, 3_500).await?;
        assert_eq!((status, told.get("code")), (413, Some(&"attributes_too_large".into())));
        assert_eq!(told.get("largest"), Some(&"attribute `note`".into()));
        assert_eq!(cookie_of(world, &browser).await?.value, second.value, "it stays as it was");
        browser.expect_refusal("/v1/session/attributes");
        world.visit(&browser, "/account").await?;
        browser.arrives_at("/account").await?;
        assert_eq!(browser.text("[data-test='principal']").await?, NAME);
        world.photograph(&browser, "account-sealed").await?;

        let last = cookie_of(world, &browser).await?.value;
        is_alive(&world.server, &last).await?;
        sign_out(&browser).await?;
        assert_eq!(world.session_cookie(&browser).await?, None);
        for token in [first.value, second.value, last] {
            is_refused(&world.server, &token, "signed_out").await?;
        }
        Ok(())
    });
}

/// Has a script of the page keep a note of so many bytes; what the server answered.
async fn keep(browser: &Browser, size: usize) -> Outcome<(u64, Value)> {
    let script = "const done = arguments[arguments.length - 1]; \
        const headers = {'content-type': 'application/json'}; \
        const body = JSON.stringify({note: 'x'.repeat(SIZE)}); \
        fetch('/v1/session/attributes', {method: 'PATCH', headers, body}) \
            .then(async (answer) => done([answer.status, await answer.json()]))";
    let answer = browser.script_async(&script.replace("SIZE", &size.to_string())).await?;
    let status = answer.get(0).and_then(Value::as_u64).unwrap_or_default();
    Ok((status, answer.get(1).cloned().unwrap_or_default()))
}

/// The attributes that the contract promises.
fn as_promised() -> Cookie {
    Cookie {
        name: "__Host-cloakroom".to_owned(),
        value: String::new(),
        domain: "localhost".to_owned(),
        path: "/".to_owned(),
        secure: true,
        http_only: true,
        same_site: "Lax".to_owned(),
        expires: None,
    }
}
