//! The system's users by name, for the audit log and for messages.

/// Largest user database that is read, bytes.
const MAX_PASSWD_BYTES: u64 = 4 << 20;

/// The name of the system's user `uid`, as /etc/passwd has it; `uid 1000` for one that is elsewhere.
pub(crate) fn name(uid: u32) -> String {
    let readable = std::fs::metadata("/etc/passwd").is_ok_and(|m| m.len() <= MAX_PASSWD_BYTES);
    let text = if readable { std::fs::read("/etc/passwd").unwrap_or_default() } else { Vec::new() };
    find(&String::from_utf8_lossy(&text), uid).unwrap_or_else(|| format!("uid {uid}"))
}

fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_third_field() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n\n:x:7:7::/:\nbroken\nmail:x:8:9:mail:/var/mail:/bin/false\n";
        assert_eq!(find(passwd, 0).as_deref(), Some("root"));
        assert_eq!(find(passwd, 8).as_deref(), Some("mail"));
        assert_eq!(find(passwd, 7), None);
        assert_eq!(find(passwd, 9), None);
    }
}
