//! What the tests here stand on, tried where no server is needed.

use e2e::{Neighbour, Outcome, Profile, Scripts, alone};

const PAGE: &str = "<!doctype html><title>quiet</title><body><script>document.title = 'loud'</script>";

#[test]
fn scripts_run_unless_the_person_has_switched_them_off() {
    alone(async || -> Outcome {
        let page = Neighbour::serve(PAGE.to_owned()).await?;
        for (scripts, title) in [(Scripts::Run, "loud"), (Scripts::Blocked, "quiet")] {
            let browser = e2e::Browser::open(Profile::fresh()?, scripts).await?;
            browser.goto(&page.url("localhost")).await?;
            assert_eq!(browser.web().title().await?, title);
            browser.close().await?;
        }
        Ok(())
    });
}

#[test]
fn the_examination_finds_what_is_wrong_with_a_page_and_nothing_else() {
    let sound = "<!doctype html><html lang=en><title>quiet</title><main><h1>Hats</h1>";
    alone(async || -> Outcome {
        for (content, fault) in [
            ("<label>Name <input></label>", None),
            ("<input>", Some("label")),
            ("<p style='color: #999; background: #fff'>Faint</p>", Some("color-contrast")),
        ] {
            let page = Neighbour::serve(format!("{sound}{content}</main>")).await?;
            let browser = e2e::Browser::open(Profile::fresh()?, Scripts::Run).await?;
            browser.goto(&page.url("localhost")).await?;
            let found = browser.check_accessible().await.map_err(|failure| failure.to_string());
            match fault {
                None => assert_eq!(found, Ok(())),
                Some(rule) => {
                    assert!(found.is_err_and(|told| told.contains(&format!("\n  {rule}: "))), "{rule}")
                }
            }
            browser.close().await?;
        }
        Ok(())
    });
}
