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
