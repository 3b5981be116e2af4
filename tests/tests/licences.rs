//! What `deny.toml` says of licences, bans and sources, held against the lock file's crates: so that it is kept true also
//! where cargo-deny isn't installed. Its advisory check needs the network and is not part of this.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use tests::Result;

/// The strings of the list that `name = […]` gives in a TOML text.
fn list(toml: &str, name: &str) -> Vec<String> {
    let Some((_, rest)) = toml.split_once(&format!("\n{name} = [")) else { return Vec::new() };
    let inner = rest.split(']').next().unwrap_or_default();
    inner.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression (crates.io's old `/` is OR) can be met with the allowed licences.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens: Vec<String> = Vec::new();
    for token in spaced.split_whitespace() {
        match tokens.last_mut() {
            // An exception belongs to its licence.
            Some(last) if token == "WITH" || last.ends_with(" WITH") => *last = format!("{last} {token}"),
            _ => tokens.push(token.to_owned()),
        }
    }
    let mut at = 0;
    any(&tokens, &mut at, allowed) && at == tokens.len()
}

fn any(tokens: &[String], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = all(tokens, at, allowed);
    while tokens.get(*at).is_some_and(|t| t == "OR") {
        *at += 1;
        met |= all(tokens, at, allowed);
    }
    met
}

fn all(tokens: &[String], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at).is_some_and(|t| t == "AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[String], at: &mut usize, allowed: &[String]) -> bool {
    let token = tokens.get(*at);
    // Past the end too: then the expression as a whole is refused.
    *at += 1;
    let Some(token) = token else { return false };
    if token != "(" {
        return allowed.contains(token);
    }
    let met = any(tokens, at, allowed);
    *at += 1;
    met
}

/// What a cargo command prints.
fn cargo(arguments: &[&str]) -> Result<String> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(arguments)
        .arg("--locked")
        .current_dir(tests::tools::repository()?)
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn expressions_are_understood() {
    let allowed: Vec<String> = ["MIT", "ISC", "A WITH B"].map(String::from).to_vec();
    for yes in ["MIT", "GPL OR MIT", "GPL/MIT", "(GPL OR MIT) AND ISC", "A WITH B", "X OR A WITH B AND MIT"] {
        assert!(is_allowed(yes, &allowed), "{yes}");
    }
    for no in ["GPL", "MIT AND GPL", "", "(MIT", "MIT OR", "A", "A WITH C", "(GPL OR MIT) AND GPL"] {
        assert!(!is_allowed(no, &allowed), "{no}");
    }
}

#[test]
fn every_crate_is_allowed() -> Result {
    let root = tests::tools::repository()?;
    let deny = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let allowed = list(&deny, "allow");
    let banned = list(&deny.replace("{ crate = ", "").replace(" }", ""), "deny");
    ensure!(allowed.len() > 3 && banned.iter().any(|b| b == "ring"), "deny.toml is not understood");
    // The lock file names crates too that no feature of ours brings in; the tree doesn't.
    let tree = cargo(&["tree", "--workspace", "--target", "all", "--prefix", "none", "--format", "{p}"])?;
    let used: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])?)?;
    let crates = metadata["packages"].as_array().context("packages")?;
    let mut complaints = Vec::new();
    for package in crates {
        let name = package["name"].as_str().context("a crate's name")?;
        if !used.contains(name) {
            continue;
        }
        if let Some(source) = package["source"].as_str()
            && !source.starts_with("registry+https://github.com/rust-lang/crates.io-index")
        {
            complaints.push(format!("{name} comes from {source}"));
        }
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !is_allowed(licence, &allowed) {
            complaints.push(format!("{name}: {licence} is not in deny.toml"));
        }
        if banned.iter().any(|b| b == name) {
            complaints.push(format!("{name} is banned by deny.toml"));
        }
    }
    ensure!(used.len() > 50 && complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}
