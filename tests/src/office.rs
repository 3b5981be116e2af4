//! Small files of the kinds that people attach, made here, and messages that carry them.

use base64::Engine;
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A ZIP archive of these files.
/// # Errors
/// It can't be written.
pub fn zip(files: &[(&str, &[u8])]) -> crate::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(*name, SimpleFileOptions::default())?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// A text document with one paragraph for each line.
/// # Errors
/// It can't be written.
pub fn docx(text: &str) -> crate::Result<Vec<u8>> {
    let paragraphs: String =
        text.lines().map(|line| format!("<w:p><w:r><w:t>{line}</w:t></w:r></w:p>")).collect();
    let document = format!("<w:document xmlns:w=\"w\"><w:body>{paragraphs}</w:body></w:document>");
    zip(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", document.as_bytes())])
}

/// A sheet whose one cell has this XML beside it, `times` times.
/// # Errors
/// It can't be written.
pub fn xlsx(xml: &str, times: usize) -> crate::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("[Content_Types].xml", SimpleFileOptions::default())?;
    archive.write_all(b"<Types/>")?;
    archive.start_file("xl/worksheets/sheet1.xml", SimpleFileOptions::default().large_file(true))?;
    archive.write_all(b"<worksheet><row><c t=\"inlineStr\"><is><t>cell</t></is></c></row>")?;
    let many = xml.repeat(1_000);
    for _ in 0..times / 1_000 {
        archive.write_all(many.as_bytes())?;
    }
    archive.write_all(b"</worksheet>")?;
    Ok(archive.finish()?.into_inner())
}

/// A PDF of one page with this line.
#[must_use]
pub fn pdf(line: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 700 Td ({line}) Tj ET");
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Count 1/Kids[3 0 R]>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1<</Type/Font/Subtype/Type1\
         /BaseFont/Helvetica/Encoding/WinAnsiEncoding>>>>>>>>"
            .to_owned(),
        format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = "0000000000 65535 f \n".to_owned();
    for (number, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", number + 1));
    }
    let start = file.len();
    file.push_str(&format!("xref\n0 5\n{table}trailer<</Size 5/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n"));
    file.into_bytes()
}

/// A message with these attachments: name, media type, bytes.
#[must_use]
pub fn message(subject: &str, files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut text = format!(
        "From: a@example.org\nSubject: {subject}\nDate: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <{subject}@example.org>\n\
         MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nsee {subject}\n"
    );
    for (name, media_type, bytes) in files {
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        text.push_str(&format!(
            "--b\nContent-Type: {media_type}\nContent-Disposition: attachment; filename=\"{name}\"\nContent-Transfer-Encoding: base64\n\n"
        ));
        for line in encoded.as_bytes().chunks(76) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
    }
    text.push_str("--b--\n");
    text.into_bytes()
}
