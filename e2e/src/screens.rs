//! How a page looks: at a desk and in a hand, by day and by night.

use std::fs;

use serde_json::{Value, json};

use crate::{Browser, Failure, Outcome, World};

/// A size of screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// 1280 × 900.
    Desktop,
    /// 390 × 844, twice as dense.
    Phone,
    /// 360 × 640: the narrowest that people still hold.
    Narrow,
}

/// What the person prefers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theme {
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Screen {
    fn metrics(self) -> Value {
        let (width, height, density, mobile) = match self {
            Self::Desktop => (1280, 900, 1, false),
            Self::Phone => (390, 844, 2, true),
            Self::Narrow => (360, 640, 2, true),
        };
        json!({ "width": width, "height": height, "deviceScaleFactor": density, "mobile": mobile })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Phone => "phone",
            Self::Narrow => "narrow",
        }
    }
}

impl Theme {
    fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// Shows the page on this screen, in this theme, without movement.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn show_on(&self, screen: Screen, theme: Theme) -> Outcome {
        self.chromium("Emulation.setDeviceMetricsOverride", screen.metrics()).await?;
        let features = json!([
            { "name": "prefers-color-scheme", "value": theme.name() },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.chromium("Emulation.setEmulatedMedia", json!({ "features": features })).await?;
        Ok(())
    }

    /// Shows pages as before [`show_on`](Self::show_on).
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn show_plainly(&self) -> Outcome {
        self.chromium("Emulation.clearDeviceMetricsOverride", json!({})).await?;
        self.chromium("Emulation.setEmulatedMedia", json!({ "features": [] })).await?;
        Ok(())
    }

    /// Fails if the page is wider than its screen.
    ///
    /// # Errors
    /// How much wider, and what sticks out.
    pub async fn check_no_sideways_scrolling(&self) -> Outcome {
        let script = "
            const room = document.documentElement.clientWidth;
            const wide = document.scrollingElement.scrollWidth;
            const out = [...document.body.querySelectorAll('*')]
                .filter(it => it.getBoundingClientRect().right > room + 0.5)
                .map(it => it.tagName + '.' + it.className);
            return wide > room ? `${wide} of ${room} pixels: ${out.slice(0, 5).join(', ')}` : null;";
        match self.script(script).await?.as_str() {
            Some(excess) => Err(Failure::new(format!("{} scrolls sideways: {excess}", self.path().await?))),
            None => Ok(()),
        }
    }
}

impl World {
    /// Photographs the page that `browser` shows, on every screen and in every theme, and checks that it fits.
    ///
    /// # Errors
    /// Where it does not fit, or no picture can be taken.
    pub async fn photograph(&self, browser: &Browser, name: &str) -> Outcome {
        for screen in [Screen::Desktop, Screen::Phone] {
            for theme in [Theme::Light, Theme::Dark] {
                browser.show_on(screen, theme).await?;
                browser.check_no_sideways_scrolling().await?;
                let file = format!("{name}-{}-{}.png", screen.name(), theme.name());
                fs::write(self.output.screenshots().join(file), browser.photograph().await?)?;
            }
        }
        browser.show_on(Screen::Narrow, Theme::Light).await?;
        browser.check_no_sideways_scrolling().await?;
        browser.show_plainly().await
    }

    /// Photographs the page as [`photograph`](Self::photograph) does, and lets axe-core examine it at a desk by day and in a
    /// hand by night.
    ///
    /// # Errors
    /// Where the page does not fit, no picture can be taken, or axe-core finds fault.
    pub async fn examine(&self, browser: &Browser, name: &str) -> Outcome {
        self.photograph(browser, name).await?;
        for (screen, theme) in [(Screen::Desktop, Theme::Light), (Screen::Phone, Theme::Dark)] {
            browser.show_on(screen, theme).await?;
            let found = browser.check_accessible().await;
            found.map_err(|failure| failure.while_doing(format!("{} {}", screen.name(), theme.name())))?;
        }
        browser.show_plainly().await
    }
}
