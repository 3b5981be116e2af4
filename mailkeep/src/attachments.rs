//! Attachments' text for the storage: its questions handed to the processes that read files.
//!
//! Those are this program itself, started again (see `main`); none is started before there is something to read.

use conf::Conf;
use extract::{Bounds, Format, Pool, Settings};
use std::path::PathBuf;
use std::sync::Arc;
use storage::{Extracted, TextExtractor};

/// Changes when formats are told in another way than before.
const VERSION: u32 = 1;

/// Who reads attachments, as the configuration says.
pub(crate) fn reader(conf: &Conf) -> Arc<dyn TextExtractor> {
    Arc::new(Reader { max_bytes: conf.attachments.max_file_bytes, pool: Pool::new(settings(conf)) })
}

/// The processes' settings.
fn settings(conf: &Conf) -> Settings {
    let of = &conf.attachments;
    Settings {
        // Also when the file was replaced meanwhile, by an update.
        program: PathBuf::from("/proc/self/exe"),
        formats: of.types.iter().filter_map(|name| Format::named(name)).collect(),
        workers: of.workers,
        time_secs: of.time_limit_secs,
        memory_bytes: of.memory_bytes,
        input_bytes: of.max_file_bytes,
        bounds: Bounds {
            output_bytes: of.max_text_bytes,
            inflated_bytes: of.max_inflated_bytes,
            entry_bytes: of.max_file_bytes,
            entries: of.max_archive_files,
            depth: of.max_archive_depth,
        },
    }
}

#[derive(Debug)]
struct Reader {
    max_bytes: u64,
    pool: Pool,
}

impl TextExtractor for Reader {
    fn version(&self) -> u32 {
        VERSION
    }
    fn may_have_text(&self, media_type: &str, file_name: &str) -> bool {
        Format::may_be(media_type, file_name)
    }
    fn format(&self, media_type: &str, file_name: &str, bytes: &[u8]) -> Option<u8> {
        Format::of(media_type, file_name, bytes).map(Format::code)
    }
    fn extract(&self, format: u8, bytes: &[u8]) -> Extracted {
        match Format::from_code(format).and_then(|format| self.pool.extract(format, bytes)) {
            Some(found) => Extracted::Text { text: found.text, trouble: found.trouble },
            None => Extracted::Off,
        }
    }
    fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
    fn parallel(&self) -> usize {
        self.pool.workers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults stand in the configuration and in the crate; this keeps them the same.
    #[test]
    fn the_settings_name_what_there_is() {
        let settings = settings(&Conf::default());
        assert_eq!(settings.bounds, Bounds::default());
        assert_eq!(settings.formats, Format::all().collect::<Vec<_>>());
        assert_eq!(conf::TYPES.to_vec(), Format::all().map(Format::name).collect::<Vec<_>>());
    }
}
