//! The house rules that a machine can check: walls between crates, module heads, file sizes, the map, paths.
//!
//! Each check is a function from text to complaints, tried on a bad example first, so that a check that sees nothing
//! can't pass for a clean house. Left to clippy and rustfmt: whatever they know.

use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use tests::Result;

/// Who may use whom (DESIGN: "The house: one crate a room").
const WALLS: [(&str, &[&str]); 8] = [
    ("conf", &[]),
    ("extract", &[]),
    ("storage", &[]),
    ("auth", &[]),
    ("archiver", &["storage", "auth"]),
    ("imapd", &["storage", "auth"]),
    ("mailkeep", &["conf", "auth", "extract", "storage", "archiver", "imapd"]),
    ("tests", &["conf", "auth", "extract", "storage", "archiver", "imapd", "mailkeep"]),
];

/// Most lines of a file before its unit tests.
const MOST_LINES: usize = 800;

/// The files that belong to the project: tracked by git, or new and not ignored.
fn project_files() -> Result<Vec<PathBuf>> {
    let root = tests::tools::repository()?;
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .context("git, which knows the project's files")?;
    ensure!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    let names = list.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let paths = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    // A file that is deleted but not committed so is still listed.
    Ok(paths.filter(|path| root.join(path).is_file()).collect())
}

/// The project's files with this ending, with their text.
fn texts(ending: &str) -> Result<Vec<(PathBuf, String)>> {
    let root = tests::tools::repository()?;
    let mut found = Vec::new();
    for path in project_files()? {
        if path.extension().is_some_and(|e| e == ending) {
            let text =
                std::fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
            found.push((path, text));
        }
    }
    ensure!(!found.is_empty(), "no .{ending} file in the project: the list of files is wrong");
    Ok(found)
}

fn report(complaints: Vec<String>) -> Result {
    ensure!(complaints.is_empty(), "{} complaint(s):\n{}", complaints.len(), complaints.join("\n"));
    Ok(())
}

/// Dependencies of ours, in any table of dependencies, that the crate may not have.
fn forbidden_uses(name: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = WALLS.iter().find(|(room, _)| *room == name) else {
        return vec![format!("{name}: a crate that DESIGN does not name")];
    };
    let ours: BTreeSet<&str> = WALLS.iter().map(|(room, _)| *room).collect();
    let mut complaints = Vec::new();
    let mut in_dependencies = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            in_dependencies = table.ends_with("dependencies");
            // [dependencies.storage]
            if let Some((_, used)) = table.rsplit_once("dependencies.") {
                complaints.extend(complaint(name, used, &ours, allowed));
            }
        } else if in_dependencies && !line.starts_with('#') {
            let used = line.split(['.', '=', ' ']).next().unwrap_or_default();
            complaints.extend(complaint(name, used, &ours, allowed));
            // alias = { package = "storage" }
            let renamed = line.split("package").nth(1).and_then(|rest| rest.split('"').nth(1));
            complaints.extend(renamed.and_then(|used| complaint(name, used, &ours, allowed)));
        }
    }
    complaints
}

fn complaint(name: &str, used: &str, ours: &BTreeSet<&str>, allowed: &[&str]) -> Option<String> {
    (ours.contains(used) && !allowed.contains(&used)).then(|| format!("{name} uses {used}"))
}

#[test]
fn walls_stand() -> Result {
    assert_eq!(
        forbidden_uses("imapd", "[dependencies]\narchiver.workspace = true\nstorage = 1"),
        ["imapd uses archiver"]
    );
    assert_eq!(forbidden_uses("conf", "[dev-dependencies.auth]\n"), ["conf uses auth"]);
    assert_eq!(
        forbidden_uses("auth", "[dependencies]\nx = { package = \"storage\" }"),
        ["auth uses storage"]
    );
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in texts("toml")? {
        let parts: Vec<_> = path.components().collect();
        if parts.len() == 2 && path.ends_with("Cargo.toml") {
            let name = parts[0].as_os_str().to_string_lossy().into_owned();
            complaints.extend(forbidden_uses(&name, &text));
            seen.insert(name);
        }
    }
    for (room, _) in WALLS {
        ensure!(seen.contains(room), "{room}/Cargo.toml is missing");
    }
    report(complaints)
}

/// Whether a module opens with its contract.
fn has_head(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.starts_with("//! ") && line.len() > 12)
}

#[test]
fn modules_open_with_their_contract() -> Result {
    assert!(
        !has_head("use std::fs;\n//! late") && !has_head("//! x\n") && has_head("\n//! Says what it is.\n")
    );
    report(
        texts("rs")?
            .into_iter()
            .filter(|(_, text)| !has_head(text))
            .map(|(path, _)| format!("{}: no //! that says what lives there", path.display()))
            .collect(),
    )
}

/// Lines before the unit tests.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

#[test]
fn files_stay_readable() -> Result {
    assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    report(
        texts("rs")?
            .into_iter()
            .filter(|(path, _)| !path.components().any(|part| part.as_os_str() == "tests"))
            .map(|(path, text)| (path, lines_without_tests(&text)))
            .filter(|(_, lines)| *lines > MOST_LINES)
            .map(|(path, lines)| format!("{}: {lines} lines, {MOST_LINES} are the most", path.display()))
            .collect(),
    )
}

/// What stands in single backticks outside of code blocks and looks like a path of the project.
fn named_paths(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        for name in line.split('`').skip(1).step_by(2) {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            let known = [".rs", ".md", ".toml", ".py", ".sh"].iter().any(|ending| name.ends_with(ending));
            // Paths of an installation's data directory are written DATA/…; `conf` alone is a crate, a word.
            if plain && (name.contains('/') || known) && !name.starts_with("DATA") && !name.starts_with('/') {
                found.push(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn the_map_names_what_is_there() -> Result {
    assert_eq!(named_paths("see `a/b.rs`, `c`\n```\n`no/t.rs`\n```\n`x y/z` and `D.md`"), ["a/b.rs", "D.md"]);
    let root = tests::tools::repository()?;
    let map = root.join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&map).with_context(|| map.display().to_string())?;
    // Files that only an installation has.
    let of_installations = ["master.redb", "store.redb", "mailkeep.toml", "store.toml", "stores.toml"];
    report(
        named_paths(&text)
            .into_iter()
            .filter(|name| !of_installations.iter().any(|file| name.ends_with(file)))
            .filter(|name| !root.join(name).exists())
            .map(|name| format!("ARCHITECTURE.md names {name}, which is not there"))
            .collect(),
    )
}

/// The names of redb tables defined in a source text.
fn table_names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("TableDefinition::new(") {
        let rest = &text[at + "TableDefinition::new(".len()..];
        if let Some(name) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn a_table_has_one_owner() -> Result {
    let example = "const A: TableDefinition<u8, u8> = TableDefinition::new(\n    \"users\",\n);";
    assert_eq!(table_names(example), ["users"]);
    assert_eq!(table_names(&example.replace("Table", "MultimapTable")), ["users"]);
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in texts("rs")? {
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let owner = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        for name in table_names(&text) {
            owners.entry(name).or_default().extend(owner.clone());
        }
    }
    report(
        owners
            .into_iter()
            .filter(|(_, crates)| crates.len() > 1)
            .map(|(table, crates)| format!("table {table:?} is defined in {crates:?}"))
            .collect(),
    )
}

/// Marks of unfinished work. Put together here so that this file doesn't name them.
fn marks() -> Vec<String> {
    let mut marks: Vec<String> = ["todo", "unimplemented"].iter().map(|name| format!("{name}!(")).collect();
    marks.extend(["TO", "FIX"].iter().zip(["DO", "ME"]).map(|(a, b)| format!("// {a}{b}")));
    marks
}

#[test]
fn nothing_is_left_open_or_tied_to_a_machine() -> Result {
    let marks = marks();
    let unfinished = format!("fn f() {{ {}!() }}", "todo");
    assert!(marks.iter().any(|mark| unfinished.contains(mark.as_str())));
    let root = tests::tools::repository()?;
    let mut complaints = Vec::new();
    for (path, text) in texts("rs")? {
        for (number, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                complaints.push(format!("{}:{}: {mark}", path.display(), number + 1));
            }
        }
    }
    // Where the checkout lies and the user's home stand in no file at all.
    let around = root.parent().map(|dir| dir.to_string_lossy().into_owned());
    let private: Vec<String> = [around, std::env::var("HOME").ok()]
        .into_iter()
        .flatten()
        .filter(|dir| dir.len() > 1)
        .map(|dir| format!("{dir}/"))
        .collect();
    for path in project_files()? {
        let bytes = std::fs::read(root.join(&path))?;
        let text = String::from_utf8_lossy(&bytes);
        if let Some(found) = private.iter().find(|found| text.contains(found.as_str())) {
            complaints.push(format!("{}: names {found}", path.display()));
        }
    }
    report(complaints)
}
