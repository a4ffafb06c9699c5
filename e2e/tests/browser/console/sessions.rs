//! Finding sessions, and ending them.

use e2e::{Browser, Outcome, World, run};

use super::{Stranger, confirm, is_over, listed, lives, notice, shows, stranger};
use crate::people::{PASSWORD, cookie_of, is_alive, set_up, sign_in, sign_out};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

#[test]
fn an_administrator_finds_sessions_by_what_is_typed_and_ends_one_some_and_all_of_somebody() {
    run("console_sessions", &[], async |world| {
        let admin = world.browser().await?;
        set_up(world, &admin).await?;
        let own = cookie_of(world, &admin).await?.value;
        for name in ["ada", "alan"] {
            world.server.add_account(name, PASSWORD)?;
        }
        let ada = [
            stranger(world, "ada", FIREFOX).await?,
            stranger(world, "ada", IPHONE).await?,
            stranger(world, "ada", "curl/8.14.1").await?,
        ];
        let alan = [stranger(world, "alan", FIREFOX).await?, stranger(world, "alan", IPHONE).await?];
        world.visit(&admin, "/admin").await?;
        admin.press("nav-sessions").await?;
        admin.arrives_at("/admin/sessions").await?;
        assert_eq!(listed(&admin).await?.len(), 6, "the administrator's own too");
        world.examine(&admin, "console-sessions").await?;

        what_is_typed_is_found(world, &admin, &ada, &alan).await?;
        one_is_ended(world, &admin, &ada, &alan).await?;
        the_chosen_are_ended(world, &admin, &ada, &alan).await?;
        all_of_one_person_are_ended(world, &admin).await?;
        is_alive(&world.server, &own).await
    });
}

async fn what_is_typed_is_found(
    world: &World,
    admin: &Browser,
    ada: &[Stranger; 3],
    alan: &[Stranger; 2],
) -> Outcome {
    let of_ada: Vec<&str> = ada.iter().map(|one| one.id.as_str()).collect();
    admin.fill("q", "ada").await?;
    shows(admin, &of_ada).await?;
    let address = admin.web().current_url().await?;
    assert_eq!(address.query(), Some("q=ada"), "what is shown has an address");
    let told = admin.text("[data-test='summary']").await?;
    assert!(told.contains("principal “ada”"), "the page says what it took the words for: {told}");

    // Letter by letter, faster than answers come: the last question counts.
    admin.fill("q", "iphone").await?;
    shows(admin, &[&ada[1].id, &alan[1].id]).await?;
    admin.fill("q", "a*").await?;
    shows(admin, &[&ada[0].id, &ada[1].id, &ada[2].id, &alan[0].id, &alan[1].id]).await?;
    admin.fill("q", &alan[0].id).await?;
    shows(admin, &[&alan[0].id]).await?;
    admin.fill("q", "nobody-is-called-so").await?;
    shows(admin, &[]).await?;
    admin.find("[data-test='empty']").await?;
    world.examine(admin, "console-sessions-none").await?;

    world.visit(admin, "/admin/sessions?device=curl").await?;
    shows(admin, &[&ada[2].id]).await?;
    assert_eq!(admin.text("summary .tag").await?, "1", "one filter is set");
    world.visit(admin, "/admin/sessions?ip=203.0.113.77").await?;
    shows(admin, &[]).await?;
    world.visit(admin, "/admin/sessions?ip=nonsense&principal=alan").await?;
    shows(admin, &[&alan[0].id, &alan[1].id]).await?;
    let problem = admin.text("[data-test='problem']").await?;
    assert!(problem.contains("“nonsense” is not an address"), "{problem}");
    world.examine(admin, "console-sessions-problem").await?;

    world.visit(admin, "/admin/sessions?principal=ada&sort=oldest").await?;
    assert_eq!(listed(admin).await?, of_ada);
    world.visit(admin, "/admin/sessions?q=a*&sort=principal").await?;
    let listed = listed(admin).await?;
    let place = |one: &Stranger| listed.iter().position(|id| *id == one.id);
    assert!(ada.iter().all(|one| place(one) < place(&alan[0])), "{listed:?}");
    Ok(())
}

async fn one_is_ended(world: &World, admin: &Browser, ada: &[Stranger; 3], alan: &[Stranger; 2]) -> Outcome {
    world.visit(admin, &format!("/admin/sessions/{}", ada[0].id)).await?;
    let device = admin.text(".facts").await?;
    assert!(device.contains("Firefox on Linux") && device.contains("127.0.0.1"), "{device}");
    admin.find("[data-event='session_created']").await?;
    world.examine(admin, "console-session").await?;
    admin.press("end-session").await?;
    admin.arrives_at(&format!("/admin/sessions/{}/end", ada[0].id)).await?;
    let consequence = admin.text("[data-test='consequence']").await?;
    assert!(consequence.starts_with("1 session ends."), "{consequence}");
    world.examine(admin, "console-end-one").await?;

    admin.press("confirm-cancel").await?;
    lives(world, &ada[0]).await?;
    admin.press("end-session").await?;
    confirm(admin, "asked for it by telephone").await?;
    let told = notice(admin, "ended").await?;
    assert!(told.starts_with("1 session was ended."), "{told}");
    admin.find("#session[data-alive='false']").await?;
    assert!(admin.text(".history").await?.contains("by administrator margaret"));
    assert_eq!(admin.count("[data-test='end-session']").await?, 0);
    world.examine(admin, "console-session-ended").await?;
    is_over(world, &ada[0], "revoked_by_admin").await?;

    world.visit(admin, "/admin/sessions?principal=ada").await?;
    admin.click(&format!("tr[data-session='{}'] [data-test='end-one']", ada[1].id)).await?;
    confirm(admin, "").await?;
    notice(admin, "ended").await?;
    admin.arrives_at("/admin/sessions").await?;
    shows(admin, &[&ada[2].id]).await?;
    is_over(world, &ada[1], "revoked_by_admin").await?;
    lives(world, &ada[2]).await?;
    lives(world, &alan[0]).await
}

async fn the_chosen_are_ended(
    world: &World,
    admin: &Browser,
    ada: &[Stranger; 3],
    alan: &[Stranger; 2],
) -> Outcome {
    world.visit(admin, "/admin/sessions?q=a*").await?;
    assert_eq!(admin.count("[data-test='end-picked']:not([hidden])").await?, 0, "nothing is chosen");
    admin.press("pick-all").await?;
    assert_eq!(admin.text("[data-test='picked']").await?, "3 of 3 chosen");
    admin.click(&format!("tr[data-session='{}'] [data-test='pick']", alan[1].id)).await?;
    assert_eq!(admin.text("[data-test='picked']").await?, "2 of 3 chosen");
    world.examine(admin, "console-sessions-chosen").await?;
    admin.press("end-picked").await?;
    admin.arrives_at("/admin/sessions/end").await?;
    let consequence = admin.text("[data-test='consequence']").await?;
    assert!(consequence.starts_with("2 sessions end."), "{consequence}");
    assert_eq!(admin.count("[data-test='to-end'] li").await?, 2);
    world.examine(admin, "console-end-chosen").await?;
    admin.click("select[name='reason'] option[value='compromised']").await?;
    confirm(admin, "token in a log").await?;
    let told = notice(admin, "ended").await?;
    assert!(told.starts_with("2 sessions were ended."), "{told}");
    is_over(world, &ada[2], "compromised").await?;
    is_over(world, &alan[0], "compromised").await?;
    lives(world, &alan[1]).await
}

async fn all_of_one_person_are_ended(world: &World, admin: &Browser) -> Outcome {
    let twice = [stranger(world, "ada", FIREFOX).await?, stranger(world, "ada", IPHONE).await?];
    world.visit(admin, "/admin/people?id=ada").await?;
    admin.arrives_at("/admin/people/ada").await?;
    shows(admin, &[&twice[0].id, &twice[1].id]).await?;
    world.examine(admin, "console-person").await?;
    admin.press("with-ended").await?;
    admin.find("tr.gone").await?;
    admin.press("end-person").await?;
    let consequence = admin.text("[data-test='consequence']").await?;
    assert!(consequence.starts_with("2 sessions end."), "{consequence}");
    world.examine(admin, "console-end-person").await?;
    confirm(admin, "").await?;
    notice(admin, "ended").await?;
    admin.arrives_at("/admin/people/ada").await?;
    for one in &twice {
        is_over(world, one, "revoked_by_admin").await?;
    }
    Ok(())
}

#[test]
fn more_than_a_page_of_sessions_is_paged_through_and_everything_before_an_instant_is_ended() {
    run("console_many", &[], async |world| {
        let admin = world.browser().await?;
        set_up(world, &admin).await?;
        world.server.add_account("crowd", PASSWORD)?;
        let mut crowd = Vec::new();
        for _ in 0..60 {
            crowd.push(stranger(world, "crowd", "curl/8.14.1").await?);
        }
        world.visit(&admin, "/admin/sessions?principal=crowd").await?;
        let first = listed(&admin).await?;
        assert_eq!(first.len(), 50);
        // Sessions begin and end meanwhile: the next page goes on where this one ended.
        let late = stranger(world, "crowd", "curl/8.14.1").await?;
        admin.press("pager-next").await?;
        let rest: Vec<String> = crowd.iter().take(10).map(|one| one.id.clone()).collect();
        shows(&admin, &rest.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        world.examine(&admin, "console-sessions-last-page").await?;
        admin.press("pager-first").await?;
        admin.find(&format!("tr[data-session='{}']", late.id)).await?;

        everything_before_an_instant_is_ended(world, &admin, &crowd).await
    });
}

async fn everything_before_an_instant_is_ended(
    world: &World,
    admin: &Browser,
    crowd: &[Stranger],
) -> Outcome {
    world.visit(admin, "/admin/sessions").await?;
    admin.press("end-many").await?;
    admin.arrives_at("/admin/sessions/end").await?;
    world.examine(admin, "console-end-many").await?;
    admin.press("ask-all").await?;
    admin.find("[data-test='own-too']").await?;
    let consequence = admin.text("[data-test='consequence']").await?;
    assert!(consequence.starts_with("62 sessions end: everybody"), "{consequence}");
    world.examine(admin, "console-end-all").await?;
    admin.press("confirm-cancel").await?;

    // An instant after the crowd and before whoever comes now.
    let instant = admin.script("return document.documentElement.dataset.now").await?;
    let instant = instant.as_str().unwrap_or_default().to_owned();
    sign_out(admin).await?;
    sign_in(world, admin, PASSWORD).await?;
    let late = stranger(world, "crowd", "curl/8.14.1").await?;
    world.visit(admin, &format!("/admin/sessions/end?before={instant}")).await?;
    let consequence = admin.text("[data-test='consequence']").await?;
    assert!(consequence.starts_with("61 sessions that began before "), "{consequence}");
    assert_eq!(admin.count("[data-test='own-too']").await?, 0);
    world.examine(admin, "console-end-before").await?;
    confirm(admin, "leaked backup").await?;
    let told = notice(admin, "ended").await?;
    assert!(told.starts_with("61 sessions were ended."), "{told}");
    for one in crowd {
        is_over(world, one, "revoked_by_admin").await?;
    }
    lives(world, &late).await?;
    is_alive(&world.server, &cookie_of(world, admin).await?.value).await
}
