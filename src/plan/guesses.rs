//! What people mean by the name of an executor that does not exist, where spelling does not tell.

/// Words of other tools, and the executors that do the same here.
const MEANT: &[(&[&str], &[&str])] = &[
    (&["shell", "sh", "bash", "exec", "script", "run", "cmd", "process", "local"], &["command"]),
    (&["ssh", "ssh.command", "remote"], &["command"]),
    (&["http", "https", "curl", "wget", "rest", "api", "request", "uri", "url"], &["http.call", "http.probe"]),
    (&["tcp", "port", "ping"], &["tcp.probe"]),
    (&["dns", "dig", "nslookup"], &["dns.check"]),
    (&["sleep", "pause", "delay"], &["wait"]),
    (&["cp", "copy", "rsync", "scp"], &["files.copy"]),
    (&["rm", "remove", "delete"], &["files.remove"]),
    (&["mv", "move", "rename"], &["files.moveAside"]),
    (&["sha256", "checksum", "stat", "exists"], &["files.verify"]),
];

/// The advice for a name, if one of the executors that are known was most likely meant.
#[must_use]
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let word = name.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let (_, all) = MEANT.iter().find(|(words, _)| words.contains(&word.as_str()))?;
    let there: Vec<String> = all.iter().filter(|one| known.contains(one)).map(|one| format!("`{one}`")).collect();
    let named = match there.as_slice() {
        [] => return None,
        several => several.join(", or to measure "),
    };
    let how = match word.as_str() {
        "ssh" | "ssh.command" | "remote" => " Nothing logs in elsewhere by itself: let it run `ssh`",
        _ => "",
    };
    Some(format!("did you mean {named}?{how}"))
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn words_of_other_tools_are_understood() {
        let known = ["command", "http.call", "http.probe", "wait"];
        let said = |name| meant(name, known);
        assert_eq!(said("Shell").as_deref(), Some("did you mean `command`?"));
        assert_eq!(said("curl").as_deref(), Some("did you mean `http.call`, or to measure `http.probe`?"));
        assert!(said("ssh").is_some_and(|help| help.contains("let it run `ssh`")));
        assert_eq!(said("dig"), None, "an executor that is not there is not advised");
        assert_eq!(said("qemu.convert"), None);
    }
}
