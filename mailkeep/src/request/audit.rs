//! `audit …`: the command that is meant, and its view.

use super::absolute;
use crate::cli::{Audit, AuditVerb};
use crate::command::{AuditExport, AuditHeadNow, AuditLog, AuditVerify, Command, Failure};
use crate::output::{View, view};

/// The command and its view.
pub(super) fn command(asked: Audit) -> Result<(Command, View), Failure> {
    let Audit { verb, list } = asked;
    Ok(match verb.unwrap_or(AuditVerb::List(list)) {
        AuditVerb::List(list) => {
            let (last, newest_first) = (list.limit, list.newest_first);
            (Command::AuditLog(AuditLog { last, filter: list.filter.into(), newest_first }), view::AUDIT)
        }
        AuditVerb::Export(export) => {
            let dir = export.dir.as_deref().map(absolute).transpose()?;
            let view = export.csv.map_or(view::EXPORTED, View::Into);
            (Command::AuditExport(AuditExport { filter: export.filter.into(), dir }), view)
        }
        AuditVerb::Verify { head } => {
            let head = head.as_deref().map(absolute).transpose()?;
            (Command::AuditVerify(AuditVerify { head }), view::AUDITED)
        }
        AuditVerb::Head => (Command::AuditHead(AuditHeadNow {}), View::Bytes),
    })
}
