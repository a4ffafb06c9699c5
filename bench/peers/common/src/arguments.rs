//! What a program is told on its command line.

/// What a program is told on its command line: `VARIANT [--redis URL] [--directory PATH] [--cpu NUMBER] [--sessions NUMBER]`.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Which of the program's stores.
    pub variant: String,
    /// The Redis server, where the variant needs one.
    pub redis: Option<String>,
    /// Where files may lie, where the variant needs some.
    pub directory: Option<String>,
    /// The processor to stay on.
    pub cpu: Option<usize>,
    /// How many sessions to file, where that is what is measured.
    pub sessions: Option<usize>,
}

impl Arguments {
    /// This program's own.
    ///
    /// # Panics
    /// If they make no sense.
    #[must_use]
    pub fn of_this_program() -> Self {
        let mut words = std::env::args().skip(1);
        let mut arguments = Self { variant: words.next().expect("a variant"), ..Self::default() };
        while let Some(word) = words.next() {
            let value = words.next().expect("a value");
            match word.as_str() {
                "--redis" => arguments.redis = Some(value),
                "--directory" => arguments.directory = Some(value),
                "--cpu" => arguments.cpu = Some(value.parse().expect("a processor's number")),
                "--sessions" => arguments.sessions = Some(value.parse().expect("a number of sessions")),
                _ => panic!("there is no {word}"),
            }
        }
        arguments
    }

    /// The Redis server.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn redis(&self) -> &str {
        self.redis.as_deref().expect("--redis URL")
    }

    /// The directory for files.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.as_deref().map(std::path::Path::new).expect("--directory PATH")
    }
}
