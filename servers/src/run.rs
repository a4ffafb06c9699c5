//! Running a client program to its end.

use std::{
    io::{Read, Write as _},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Failure, Outcome,
    failure::Doing as _,
    patience::{Look, until},
};

/// Runs `command` with `input` and answers with what it printed, without the last line's end.
///
/// # Errors
/// If it cannot be started, fails, or takes longer than `patience`: then it is killed.
pub(crate) fn run(command: &mut Command, input: &str, patience: Duration) -> Outcome<String> {
    let running = || format!("running {}", command.get_program().display());
    let doing = running();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(|| doing.clone())?;
    let stdin = child.stdin.take();
    let output = read_all(child.stdout.take());
    let complaint = read_all(child.stderr.take());
    if let Some(mut stdin) = stdin {
        // A program that ends without reading all of it says why by itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let ending = until("the program's end", patience, || match child.try_wait() {
        Ok(Some(status)) => Look::Done(status),
        Ok(None) => Look::NotYet("it still runs".to_owned()),
        Err(error) => Look::Hopeless(Failure::new(doing.clone(), error)),
    });
    if ending.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (output, complaint) = (text_of(output), text_of(complaint));
    let status = ending?;
    if status.success() {
        return Ok(output.trim_end_matches('\n').to_owned());
    }
    let words = if complaint.trim().is_empty() { output.trim() } else { complaint.trim() };
    let lines: Vec<&str> = words.lines().take(WORDS).collect();
    Err(Failure::new(doing, format!("{status}: {}", lines.join("\n    "))))
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text_of(reader: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

/// Lines that are repeated of what a program complained about.
const WORDS: usize = 10;
