//! `evidence …`: what goes to the archive, and what is done far from any.

use super::absolute;
use crate::cli::Evidence;
use crate::command::{Command, EvidenceConsistency, EvidenceHead, EvidenceProve, EvidenceSend, Failure};
use crate::output::{self, View, view};
use std::path::PathBuf;
use std::process::ExitCode;

/// The command and its view.
pub(super) fn command(asked: Evidence) -> Result<(Command, View), Failure> {
    let into = |output: Option<PathBuf>, else_shown| output.map_or(else_shown, View::Into);
    Ok(match asked {
        Evidence::Head { store, output } => {
            let bare = output.is_some();
            (Command::EvidenceHead(EvidenceHead { store, bare }), into(output, view::HEADS))
        }
        Evidence::Prove { folder, uid, message, head, output } => {
            let head = head.as_deref().map(absolute).transpose()?;
            let place = folder.zip(uid);
            (Command::EvidenceProve(EvidenceProve { place, message, head }), into(output, View::Bytes))
        }
        Evidence::Consistency { old: Some(old), new, output, .. } => {
            let (old, new) = (absolute(&old)?, new.as_deref().map(absolute).transpose()?);
            let bare = output.is_some();
            let command = EvidenceConsistency { old, new, bare };
            (Command::EvidenceConsistency(command), into(output, view::GROWN))
        }
        Evidence::Send => (Command::EvidenceSend(EvidenceSend {}), view::SENT),
        Evidence::Verify { .. } | Evidence::Consistency { .. } => {
            return Err(Failure::usage("this is no command for a data directory"));
        }
    })
}

/// What needs no archive: done here and now.
pub(crate) fn offline(asked: Evidence, json: bool) -> anyhow::Result<ExitCode> {
    let mut good = true;
    match asked {
        Evidence::Verify { message, proof, key, head } => {
            for verdict in crate::evidence::verify(&message, &proof, key.as_deref(), head.as_deref())? {
                good &= verdict.is_ok();
                match verdict {
                    Ok(verdict) if json => output::say(&output::line(&verdict.json()))?,
                    Ok(verdict) => output::say(verdict.text()?.trim_end())?,
                    Err(error) if json => {
                        let told = serde_json::json!({ "good": false, "error": output::chain(&error) });
                        output::say(&output::line(&told))?;
                    }
                    Err(error) => {
                        output::complain(&format!("the proof is not good: {}", output::chain(&error)))?
                    }
                }
            }
        }
        Evidence::Consistency { check: Some(path), key, .. } => {
            for (proof, leaves) in crate::evidence::check_consistency(&path, key.as_deref())? {
                let (store, old, new) = (proof.new.store, proof.old.size, proof.new.size);
                let key = crate::evidence::hex(&proof.new.key);
                if json {
                    let told = serde_json::json!({
                        "store": store.to_string(), "oldLeaves": old, "newLeaves": new, "grown": leaves, "key": key,
                    });
                    output::say(&output::line(&told))?;
                } else {
                    output::say(&format!(
                        "The log of store {store} only grew, from {old} to {new} leaves; by the key {key}."
                    ))?;
                }
            }
        }
        _ => anyhow::bail!("this needs a data directory"),
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
