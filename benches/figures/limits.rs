//! The limits that figures stand beside, and how time, memory and room are measured.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The middle of the measures.
pub(crate) fn median(mut measures: Vec<Duration>) -> Duration {
    measures.sort_unstable();
    measures[measures.len() / 2]
}

/// F: the median fdatasync of a 200-byte append, in the folder that is measured.
pub(crate) fn f(folder: &Path) -> Duration {
    let mut file = tempfile::tempfile_in(folder).expect("a file on the disk that the state is on");
    let record = [b'x'; 200];
    let measures = (0..300).map(|_| {
        let started = Instant::now();
        file.write_all(&record).expect("an append");
        file.sync_data().expect("a flush");
        started.elapsed()
    });
    median(measures.collect())
}

/// S: the median of one spawn of `/bin/true`.
pub(crate) fn s() -> Duration {
    let measures = (0..60).map(|_| {
        let started = Instant::now();
        std::process::Command::new("/bin/true").status().expect("a spawn");
        started.elapsed()
    });
    median(measures.collect())
}

/// Processor time of the threads of this process: of all but the index's, and of the index's.
pub(crate) fn processor() -> (Duration, Duration) {
    let mut of = (Duration::ZERO, Duration::ZERO);
    for task in std::fs::read_dir("/proc/self/task").expect("Linux").filter_map(Result::ok) {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos = read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let time = Duration::from_nanos(nanos);
        // sled's own threads inherit the name of the thread that opened it.
        if read("comm").starts_with("index") { of.1 += time } else { of.0 += time }
    }
    of
}

/// A line of `/proc/PID/status` in bytes, such as `VmHWM` (the most memory so far) or `VmRSS` (now).
pub(crate) fn memory(process: u32, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let found = text.lines().find_map(|of| of.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = found.and_then(|of| of.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What a folder takes on the disk, in bytes.
pub(crate) fn room(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).collect());
    let entries: Vec<std::fs::DirEntry> = entries.unwrap_or_default();
    let of = |entry: &std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => meta.blocks() * 512 + room(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.iter().map(of).sum()
}

/// The load of the last minute: above one or two, times say little.
pub(crate) fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?").to_owned()
}
