//! What an entry of a directory says about a user.
//!
//! Invariant: every value is bounded, and an entry that can't be a user is named with the reason, never dropped in silence. Names
//! and addresses are still the directory's own words; `sync` checks them.

use super::ldap::Entry;
use super::settings::{Directory, Kind};
use super::wire::shown;
use crate::{MAX_ALIASES, MAX_DN_BYTES, MAX_FULL_NAME_BYTES, MAX_NAME_BYTES};
use std::collections::BTreeSet;

/// Longest value of an attribute that is used, bytes.
pub(super) const MAX_VALUE_BYTES: usize = 4_096;
/// Most addresses and aliases of one entry.
pub(super) const MAX_VALUES: usize = 1_000;

/// `ADS_UF_ACCOUNTDISABLE` of `userAccountControl`.
const ACCOUNT_DISABLED: i64 = 2;

/// Somebody in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Person {
    /// What stays when the entry is renamed: the attribute's name and its value as hex.
    pub(super) id: String,
    pub(super) dn: Option<String>,
    pub(super) name: String,
    pub(super) full_name: String,
    /// The primary one first.
    pub(super) addresses: Vec<String>,
    pub(super) aliases: Vec<String>,
    pub(super) groups: BTreeSet<String>,
    /// Disabled in the directory.
    pub(super) disabled: bool,
}

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A user.
    Person(Person),
    /// Not for us: the settings leave it out. Whoever was made from it is as gone.
    LeftOut { id: String, name: String, why: &'static str },
    /// It can't be used; whoever was made from it stays as is.
    Unusable { id: String, entry: String, why: String },
}

/// Attributes that are asked for.
pub(super) fn wanted(directory: &Directory) -> Vec<&str> {
    let mut all = directory.name_attributes();
    all.extend(directory.full_name_attributes());
    all.extend(directory.mail_attributes());
    all.extend(directory.alias_attributes());
    all.extend(directory.id_attributes());
    if directory.kind == Kind::ActiveDirectory {
        all.extend(["userAccountControl", "msExchHideFromAddressLists"]);
    }
    let mut seen = BTreeSet::new();
    all.retain(|name| seen.insert(name.to_ascii_lowercase()));
    all
}

/// The stable id of an entry.
pub(super) fn id(directory: &Directory, entry: &Entry) -> String {
    for attribute in directory.id_attributes() {
        if let Some(value) = entry.values(attribute).first().filter(|value| (1..=256).contains(&value.len()))
        {
            return format!("{}:{}", attribute.to_ascii_lowercase(), hex::encode(value));
        }
    }
    format!("dn:{}", super::dn::normal(&entry.dn).unwrap_or_else(|| entry.dn.clone()))
}

/// What an entry says. Groups are left empty.
pub(super) fn read(directory: &Directory, entry: &Entry) -> Found {
    let id = id(directory, entry);
    let unusable = |why: String| Found::Unusable { id: id.clone(), entry: shown(entry.dn.as_bytes()), why };
    if entry.dn.len() > MAX_DN_BYTES || entry.dn.chars().any(char::is_control) {
        return unusable(
            "its distinguished name is longer than 4,096 bytes or has control characters".into(),
        );
    }
    for name in wanted(directory) {
        let values = entry.values(name);
        if values.iter().any(|value| value.len() > MAX_VALUE_BYTES) {
            return unusable(format!("a value of {name} is longer than 4,096 bytes"));
        }
        if values.len() > MAX_VALUES {
            return unusable(format!("{name} has more than 1,000 values"));
        }
    }
    let first = |names: Vec<&str>| {
        names
            .into_iter()
            .find_map(|name| entry.texts(name).find(|text| !text.trim().is_empty()).map(str::to_owned))
    };
    let Some(name) = first(directory.name_attributes()) else {
        return unusable(format!("it has no {}", directory.name_attributes().join(" or ")));
    };
    let full_name = first(directory.full_name_attributes()).unwrap_or_default();
    let full_name: String = full_name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let full_name = cut(full_name.trim(), MAX_FULL_NAME_BYTES).to_owned();
    let addresses = addresses(directory.mail_attributes().into_iter().flat_map(|name| entry.texts(name)));
    let aliases = directory.alias_attributes().into_iter().flat_map(|name| entry.texts(name));
    let good = |alias: &&str| {
        alias.len() <= MAX_NAME_BYTES && !alias.trim().is_empty() && !alias.chars().any(char::is_control)
    };
    let aliases: Vec<String> = aliases.filter(good).take(MAX_ALIASES).map(str::to_owned).collect();
    let number = |name: &str| entry.texts(name).next().and_then(|text| text.parse::<i64>().ok());
    let active_directory = directory.kind == Kind::ActiveDirectory;
    let disabled =
        active_directory && number("userAccountControl").is_some_and(|flags| flags & ACCOUNT_DISABLED != 0);
    let hidden = active_directory
        && entry.texts("msExchHideFromAddressLists").any(|text| text.eq_ignore_ascii_case("true"));
    if directory.skip_hidden && hidden {
        return Found::LeftOut { id, name, why: "hidden from address lists" };
    }
    if directory.mail_enabled && addresses.is_empty() {
        return Found::LeftOut { id, name, why: "no e-mail address" };
    }
    let dn = Some(entry.dn.clone());
    Found::Person(Person { id, dn, name, full_name, addresses, aliases, groups: BTreeSet::new(), disabled })
}

/// E-mail addresses, the primary one first, each once. `SMTP:` and `smtp:` are Exchange's marks (proxyAddresses); values with
/// other marks (X500:, sip:) are no e-mail addresses.
pub(super) fn addresses<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut primary, mut others) = (None, Vec::new());
    for value in values {
        let value = value.trim();
        match value.split_once(':') {
            Some(("SMTP", address)) if primary.is_none() => primary = Some(address.to_owned()),
            Some((mark, address)) if mark.eq_ignore_ascii_case("smtp") => others.push(address.to_owned()),
            Some(_) => {}
            None => others.push(value.to_owned()),
        }
    }
    let mut seen = BTreeSet::new();
    let all = primary.into_iter().chain(others);
    all.filter(|address| !address.is_empty() && seen.insert(address.to_lowercase()))
        .take(MAX_VALUES)
        .collect()
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> Entry {
        let values = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect();
        Entry {
            dn: "cn=x,dc=y".into(),
            attributes: attributes
                .iter()
                .map(|(name, list)| (name.to_ascii_lowercase(), values(list)))
                .collect(),
        }
    }

    fn active_directory() -> Directory {
        Directory { kind: Kind::ActiveDirectory, ..Directory::default() }
    }

    fn person(found: Found) -> Person {
        match found {
            Found::Person(person) => person,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exchange_marks_the_primary_address() {
        let values = ["smtp:b@x", "X500:/o=x", "SMTP:a@x", "sip:a@x", "SMTP:c@x", "smtp:A@X", "d@x", "smtp:"];
        assert_eq!(addresses(values.into_iter()), ["a@x", "b@x", "c@x", "d@x"]);
    }

    #[test]
    fn an_entry_of_active_directory() {
        let all = entry(&[
            ("sAMAccountName", &["akeller"]),
            ("displayName", &["Keller, Anna"]),
            ("userPrincipalName", &["anna@contoso.example"]),
            ("proxyAddresses", &["smtp:a@contoso.example", "SMTP:anna.keller@contoso.example"]),
            ("mail", &["anna.keller@contoso.example"]),
            ("objectGUID", &["0123456789abcdef"]),
            ("userAccountControl", &["514"]),
            ("msExchHideFromAddressLists", &["TRUE"]),
        ]);
        let found = person(read(&active_directory(), &all));
        assert_eq!(found.id, "objectguid:30313233343536373839616263646566");
        assert_eq!(
            (found.name.as_str(), found.full_name.as_str(), found.disabled),
            ("akeller", "Keller, Anna", true)
        );
        assert_eq!(found.addresses, ["anna.keller@contoso.example", "a@contoso.example"]);
        assert_eq!(found.aliases, ["anna@contoso.example"]);
        let hidden = Directory { skip_hidden: true, ..active_directory() };
        assert!(matches!(read(&hidden, &all), Found::LeftOut { why: "hidden from address lists", .. }));
    }

    #[test]
    fn only_who_has_mail() {
        let without = entry(&[("uid", &["a"])]);
        assert_eq!(person(read(&Directory::default(), &without)).id, "dn:cn=x,dc=y");
        let directory = Directory { mail_enabled: true, ..Directory::default() };
        assert!(matches!(read(&directory, &without), Found::LeftOut { .. }));
        assert!(matches!(read(&Directory::default(), &entry(&[("cn", &["a"])])), Found::Unusable { .. }));
    }

    #[test]
    fn bounds_of_values() {
        let long = |bytes: usize| entry(&[("uid", &["a"]), ("cn", &["x".repeat(bytes).as_str()])]);
        assert_eq!(
            person(read(&Directory::default(), &long(MAX_VALUE_BYTES))).full_name.len(),
            MAX_FULL_NAME_BYTES
        );
        assert!(matches!(read(&Directory::default(), &long(MAX_VALUE_BYTES + 1)), Found::Unusable { .. }));
        let many = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!("a{n}@x")).collect();
            entry(&[("uid", &["a"]), ("mail", &list.iter().map(String::as_str).collect::<Vec<_>>())])
        };
        assert_eq!(person(read(&Directory::default(), &many(MAX_VALUES))).addresses.len(), MAX_VALUES);
        assert!(matches!(read(&Directory::default(), &many(MAX_VALUES + 1)), Found::Unusable { .. }));
        assert_eq!(cut("aäb", 2), "a");
    }
}
