//! On what it was measured. Nothing that says whose machine it is.

use std::fs;

use serde::Serialize;

/// The machine, as far as it matters for numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    system: String,
    architecture: &'static str,
}

impl Machine {
    pub(crate) fn here() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib.div_ceil(1 << 20)),
            system: kernel().unwrap_or_else(|| std::env::consts::OS.to_owned()),
            architecture: std::env::consts::ARCH,
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!("{}, {} cores, {} GiB, {}", self.processor, self.cores, self.memory_gib, self.system)
    }
}

/// The kernel's number, without what a distribution or a provider adds to it.
fn kernel() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let number = release.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
    Some(format!("Linux {number}"))
}

/// The first value called `name` in a file of `name: value` lines.
pub(crate) fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// Private memory of this process that is in use, in bytes.
pub(crate) fn private_memory() -> Option<u64> {
    let text = field("/proc/self/status", "RssAnon")?;
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Processor time of all threads of a process so far, in nanoseconds.
pub(crate) fn processor_nanoseconds(process: u32) -> Option<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
        // A thread may have ended since it was listed.
        if let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) {
            sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    Some(sum)
}
