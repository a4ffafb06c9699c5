//! The cookies of one client.

/// The cookies of one client, each `name=value`.
#[derive(Clone, Default, Debug)]
pub(crate) struct Jar(Vec<String>);

impl Jar {
    /// Takes over what an answer sets; a cookie without a value is forgotten. Says whether anything changed.
    pub(crate) fn take<'a>(&mut self, cookies: impl Iterator<Item = &'a str>) -> bool {
        let mut changed = false;
        for cookie in cookies {
            changed |= self.take_one(cookie);
        }
        changed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The line of a request's head that presents them; empty without any.
    pub(crate) fn line(&self) -> String {
        if self.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.0.join("; ")) }
    }

    fn take_one(&mut self, cookie: &str) -> bool {
        let Some((name, value)) = cookie.split_once('=') else { return false };
        let before = self.0.iter().position(|old| old.split_once('=').is_some_and(|(old, _)| old == name));
        match (before, value.is_empty()) {
            (Some(index), true) => {
                self.0.remove(index);
            }
            (None, true) => return false,
            (Some(index), false) => match self.0.get_mut(index) {
                Some(old) if old != cookie => cookie.clone_into(old),
                _ => return false,
            },
            (None, false) => self.0.push(cookie.to_owned()),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jar_keeps_the_last_value_of_each_cookie() {
        let mut jar = Jar::default();
        assert!(!jar.take(["a="].into_iter()));
        assert!(jar.take(["a=1", "b=2"].into_iter()));
        assert_eq!(jar.line(), "Cookie: a=1; b=2\r\n");
        assert!(!jar.take(["a=1"].into_iter()));
        assert!(jar.take(["a=3"].into_iter()));
        assert!(jar.take(["b="].into_iter()));
        assert_eq!(jar.line(), "Cookie: a=3\r\n");
        assert!(jar.take(["a="].into_iter()));
        assert!(jar.is_empty() && jar.line().is_empty());
    }
}
