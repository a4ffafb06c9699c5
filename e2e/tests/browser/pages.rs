//! What holds for every page.

use e2e::{Browser, Outcome, World, run};
use serde_json::json;

use crate::people::{set_up, sign_out};

#[test]
fn no_page_runs_a_script_that_somebody_smuggled_in() {
    run("content_security_policy", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        for path in ["/account", "/sign-out", "/no-such-page"] {
            browser.expect_refusal(path);
            smuggled_script_is_stopped(world, &browser, path).await?;
        }
        world.visit(&browser, "/account").await?;
        sign_out(&browser).await?;
        smuggled_script_is_stopped(world, &browser, "/sign-in").await?;
        // The violations are in the console, where they belong.
        browser.web().browser_log().await?;
        Ok(())
    });
}

#[test]
fn every_page_fits_a_small_screen_has_a_title_a_heading_and_names_for_its_fields() {
    run("pages", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        browser.expect_refusal("/no-such-page");
        for path in ["/account", "/sign-out", "/account/end-others", "/reauthenticate", "/no-such-page"] {
            world.visit(&browser, path).await?;
            page_is_sound(&browser, path).await?;
            browser.check_accessible().await?;
            world.photograph(&browser, &format!("page{}", path.replace('/', "-"))).await?;
        }
        world.visit(&browser, "/account").await?;
        sign_out(&browser).await?;
        for path in ["/sign-in", "/sign-in?ended=idle_timeout"] {
            world.visit(&browser, path).await?;
            page_is_sound(&browser, path).await?;
            browser.check_accessible().await?;
        }
        world.photograph(&browser, "sign-in-idle").await
    });
}

#[test]
fn pages_load_nothing_from_elsewhere() {
    run("own_assets", &[], async |world| {
        let browser = world.browser().await?;
        set_up(world, &browser).await?;
        let origin = world.server.url("");
        for path in ["/account", "/sign-out"] {
            world.visit(&browser, path).await?;
            let loaded =
                browser.script("return performance.getEntriesByType('resource').map(it => it.name)").await?;
            let loaded: Vec<&str> =
                loaded.as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
            assert!(loaded.len() >= 2, "style and script at least: {loaded:?}");
            assert!(loaded.iter().all(|url| url.starts_with(&origin)), "{loaded:?}");
        }
        Ok(())
    });
}

async fn smuggled_script_is_stopped(world: &World, browser: &Browser, path: &str) -> Outcome {
    world.visit(browser, path).await?;
    let script = "
        const done = arguments[arguments.length - 1];
        addEventListener('securitypolicyviolation', it => done({
            directive: it.effectiveDirective, blocked: it.blockedURI, ran: window.smuggled === true,
        }), { once: true });
        const script = document.createElement('script');
        script.textContent = 'window.smuggled = true';
        document.head.append(script);";
    let seen = browser.script_async(script).await?;
    assert_eq!(seen, json!({ "directive": "script-src-elem", "blocked": "inline", "ran": false }), "{path}");
    assert_eq!(browser.script("return window.smuggled === undefined").await?, true, "{path}");
    Ok(())
}

async fn page_is_sound(browser: &Browser, path: &str) -> Outcome {
    let script = "
        const text = it => (it.textContent || '').trim();
        const named = it => it.labels?.length || it.getAttribute('aria-label') || text(it)
            || it.closest('[aria-hidden=true]') || it.getAttribute('aria-hidden') === 'true' || it.type === 'hidden';
        const ids = [...document.querySelectorAll('[id]')].map(it => it.id);
        return {
            title: document.title.endsWith(' · Cloakroom'),
            language: document.documentElement.lang,
            headings: document.querySelectorAll('h1').length,
            main: document.querySelectorAll('main').length,
            nameless: [...document.querySelectorAll('input, button, a')].filter(it => !named(it)).map(it => it.outerHTML),
            duplicates: ids.filter((id, index) => ids.indexOf(id) !== index),
        };";
    let sound = json!({
        "title": true, "language": "en", "headings": 1, "main": 1, "nameless": [], "duplicates": [],
    });
    assert_eq!(browser.script(script).await?, sound, "{path}");
    Ok(())
}
