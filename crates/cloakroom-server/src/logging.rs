//! Log lines: one event, one line, whatever the event contains.
//!
//! User agents, names and addresses are written by strangers. A line break in one of them would look like another line, an
//! escape sequence would act on the terminal of whoever reads the log, and a bidirectional control would turn text around.
//! Every line passes [`SafeLines`] on its way out, whichever field such a character came from.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{Config, LogConfig, LogFormat};
use crate::telemetry::Telemetry;

/// Writes log lines to standard error from now on, and records traces where the configuration wants them.
#[must_use = "traces are sent by `serve`, to which this is given"]
pub fn start(config: &Config) -> Telemetry {
    let (layer, telemetry) = Telemetry::new(&config.telemetry);
    let ansi = config.log.format == LogFormat::Text && io::stderr().is_terminal();
    let lines = lines(config.log, if ansi { Colours::Kept } else { Colours::None }, io::stderr);
    Registry::default().with(layer).with(lines).init();
    telemetry
}

/// The layer that writes lines to `out`.
fn lines<S, W>(config: LogConfig, colours: Colours, out: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::new(config.level.as_str());
    match config.format {
        LogFormat::Text => {
            let out = SafeLines { out, form: Form::Text(colours) };
            fmt::layer().with_ansi(colours == Colours::Kept).with_writer(out).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            let out = SafeLines { out, form: Form::Json };
            fmt::layer().json().with_current_span(false).with_writer(out).with_filter(filter).boxed()
        }
    }
}

/// Whether a line may have the formatter's own escape sequences in it. It escapes those in values itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Colours {
    Kept,
    None,
}

/// How a character is written that must not be written as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// As Rust writes it: `\u{202e}`.
    Text(Colours),
    /// As JSON does: `\u202e`. Outside of its strings JSON is ASCII, so such a character is always in one.
    Json,
}

/// Writers of whole lines in which nothing but letters and marks is left.
struct SafeLines<W> {
    out: W,
    form: Form,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for SafeLines<W> {
    type Writer = SafeLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        SafeLine { out: self.out.make_writer(), form: self.form }
    }
}

/// Writes one line. The formatter hands each event over in one piece.
struct SafeLine<W> {
    out: W,
    form: Form,
}

impl<W: Write> Write for SafeLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, "\n"),
            None => (line, ""),
        };
        if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.out.write_all(line);
        }
        let mut safe = String::with_capacity(line.len() + 16);
        for character in String::from_utf8_lossy(text).chars() {
            write_safe(&mut safe, character, self.form);
        }
        safe.push_str(end);
        self.out.write_all(safe.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_safe(safe: &mut String, character: char, form: Form) {
    let kept = character == '\u{1b}' && form == Form::Text(Colours::Kept);
    if kept || !acts(character) {
        safe.push(character);
        return;
    }
    // Writing to a string does not fail.
    let _ = match form {
        Form::Text(_) => write!(safe, "\\u{{{:x}}}", u32::from(character)),
        Form::Json => {
            character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(safe, "\\u{unit:04x}"))
        }
    };
}

/// Whether `character` does something instead of being read: controls (C0, C1), line and paragraph separators, what turns
/// the direction of text (Trojan Source), and what cannot be seen.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::config::LogLevel;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, log: impl FnOnce()) -> String {
        let paper = Paper::default();
        let config = LogConfig { format, level: LogLevel::Info };
        let out = paper.clone();
        let subscriber = Registry::default().with(lines(config, Colours::None, move || out.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = paper.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// One of each kind that does something in a terminal, an editor or a parser of lines.
    const HOSTILE: &str = "a\r\nINFO forged\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}cba\u{2066}\u{200b}\u{feff}\0\tz";

    #[test]
    fn nothing_that_strangers_write_acts_on_a_log_or_its_reader() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = written(format, || {
                let error = io::Error::other(HOSTILE);
                let error: &(dyn std::error::Error + 'static) = &error;
                let span = tracing::error_span!("request", id = HOSTILE);
                let _entered = span.enter();
                tracing::info!(
                    field = HOSTILE,
                    display = %HOSTILE,
                    debug = ?HOSTILE,
                    error,
                    "{HOSTILE}"
                );
            });
            assert_eq!(text.matches('\n').count(), 1, "one event, one line: {text}");
            let left: Vec<char> = text.trim_end_matches('\n').chars().filter(|c| acts(*c)).collect();
            assert!(left.is_empty(), "{left:?} in {text}");
            assert!(text.contains("forged"), "what is harmless is kept: {text}");
        }
    }

    #[test]
    fn a_json_line_reads_back_as_what_was_logged() {
        let text =
            written(LogFormat::Json, || tracing::info!(field = HOSTILE, astral = "\u{e0041}🧥", "{HOSTILE}"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["fields"]["field"], HOSTILE);
        assert_eq!(line["fields"]["message"], HOSTILE);
        assert_eq!(line["fields"]["astral"], "\u{e0041}🧥");
        assert!(text.is_ascii() || text.contains('🧥'));
    }

    #[test]
    fn names_in_any_script_stay_readable() {
        let text = written(LogFormat::Text, || tracing::info!(name = %"Łukasz 雪 мир été", "ünïcode"));
        assert!(text.contains("Łukasz 雪 мир été") && text.contains("ünïcode"), "{text}");
    }

    #[test]
    fn colours_of_a_terminal_are_the_formatters_alone() {
        let mut out = SafeLine { out: Vec::new(), form: Form::Text(Colours::Kept) };
        out.write_all("\u{1b}[32mINFO\u{1b}[0m a\u{9b}b\rc\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out.out).unwrap(), "\u{1b}[32mINFO\u{1b}[0m a\\u{9b}b\\u{d}c\n");
    }
}
