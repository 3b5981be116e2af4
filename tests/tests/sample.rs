//! The sample mail that ships: it is what its script writes, it is enough, and it holds what `demo` promises.

use anyhow::ensure;
use std::collections::BTreeSet;
use tests::Result;

#[test]
fn sample_is_what_its_script_writes() -> Result {
    let Some(python) = tests::tools::need_tool("python3")? else { return Ok(()) };
    let folder = tests::tools::repository()?.join("mailkeep/sample");
    let mut check = std::process::Command::new(python);
    check.arg("make.py").arg("--check").current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = check.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn sample_shows_the_whole_world_in_less_than_a_megabyte() -> Result {
    let folder = tests::tools::repository()?.join("mailkeep/sample");
    let (mut bytes, mut messages, mut folders, mut charsets) = (0, 0, 0, BTreeSet::new());
    for file in tests::mail::files(&folder)? {
        if file.extension().is_none_or(|ending| ending != "mbox") {
            continue;
        }
        let content = std::fs::read(&file)?;
        folders += 1;
        bytes += content.len();
        let text = String::from_utf8_lossy(&content).to_lowercase();
        messages += text.lines().filter(|line| line.starts_with("from ")).count();
        for (at, name) in text.match_indices("charset=") {
            charsets.extend(text[at + name.len()..].split([';', '\n', '"']).next().map(str::to_owned));
        }
    }
    ensure!(bytes < 1 << 20, "{bytes} bytes");
    ensure!(messages >= 300 && folders >= 10, "{messages} messages in {folders} folders");
    for charset in
        ["big5", "gb18030", "iso-2022-jp", "shift_jis", "euc-kr", "koi8-r", "windows-1256", "tis-620"]
    {
        ensure!(charsets.contains(charset), "no message in {charset}");
    }
    Ok(())
}
