//! Every format from a file made here, exactly; bombs, locks and damage; any bytes at all.

use super::*;
use proptest::prelude::*;
use std::io::Write;
use zip::write::SimpleFileOptions;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn office(files: &[(&str, &str)]) -> Vec<u8> {
    let types = [("[Content_Types].xml", "<Types/>")];
    let files: Vec<(&str, &[u8])> =
        types.iter().chain(files).map(|(name, text)| (*name, text.as_bytes())).collect();
    zip(&files)
}

/// A PDF with a page for each text, Helvetica.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec!["<</Type/Catalog/Pages 2 0 R>>".to_owned(), String::new()];
    let mut kids = Vec::new();
    for text in pages {
        let content = format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET");
        objects.push(format!("<</Length {}>>stream\n{content}\nendstream", content.len()));
        let page = objects.len();
        objects.push(format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {page} 0 R/Resources<</Font<</F1\
             <</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>>>>>>>"
        ));
        kids.push(format!("{} 0 R", objects.len()));
    }
    objects[1] = format!("<</Type/Pages/Count {}/Kids[{}]>>", kids.len(), kids.join(" "));
    let mut file = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", number + 1));
    }
    let start = file.len();
    file.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for place in places {
        file.push_str(&format!("{place:010} 00000 n \n"));
    }
    file.push_str(&format!("trailer<</Size {}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF", objects.len() + 1));
    file.into_bytes()
}

fn text(format: Format, bytes: &[u8]) -> String {
    let found = extract(format, bytes, &Bounds::default());
    assert_eq!(found.trouble, None, "{:?}", found.text);
    found.text
}

fn trouble(format: Format, bytes: &[u8], bounds: &Bounds) -> Found {
    let found = extract(format, bytes, bounds);
    assert!(found.trouble.is_some(), "{:?}", found.text.len());
    found
}

#[test]
fn a_pdf_gives_its_pages() {
    assert_eq!(text(Format::Pdf, &pdf(&["Hello archive", "second page"])), "Hello archive\nsecond page");
    let found = trouble(Format::Pdf, b"%PDF-1.4 and nothing else", &Bounds::default());
    assert_eq!(found.text, "");
}

#[test]
fn a_document_gives_paragraphs_notes_and_margins() {
    let p = |text: &str| format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>");
    let body = format!(
        "<w:document xmlns:w='w'><w:body>{}<w:p><w:pPr><w:tabs><w:tab w:val='left' w:pos='9'/></w:tabs></w:pPr><w:r><w:t>un</w:t></w:r>\
         <w:r><w:b/><w:t>believ</w:t></w:r><w:r><w:t>able</w:t><w:tab/><w:t xml:space='preserve'> x &amp; y</w:t><w:br/><w:t>z</w:t></w:r></w:p>\
         <w:p><w:del><w:r><w:t>gone</w:t></w:r></w:del><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>\
         <w:tbl><w:tr><w:tc>{}</w:tc><w:tc>{}</w:tc></w:tr></w:tbl>\
         <mc:AlternateContent><mc:Choice>{}</mc:Choice><mc:Fallback>{}</mc:Fallback></mc:AlternateContent></w:body></w:document>",
        p("first"),
        p("a"),
        p("b"),
        p("box"),
        p("box")
    );
    let file = office(&[
        ("word/document.xml", &body),
        ("word/header1.xml", &p("head")),
        ("word/footnotes.xml", &p("note")),
        ("word/comments.xml", &p("remark")),
        ("word/commentsExtended.xml", &p("no")),
        ("word/styles.xml", &p("no")),
    ]);
    let expected = "first\nunbelievable\t x & y\nz\na\nb\nbox\nhead\nnote\nremark";
    assert_eq!(text(Format::Docx, &file), expected);
    assert_eq!(text(Format::Zip, &file), expected, "an archive that is a document");
}

#[test]
fn a_workbook_gives_rows_of_cells() {
    let file = office(&[
        (
            "xl/workbook.xml",
            "<workbook><sheets><sheet name='Costs &amp; more' sheetId='1'/></sheets></workbook>",
        ),
        (
            "xl/sharedStrings.xml",
            "<sst><si><t>Name</t></si><si><r><t>Am</t></r><r><t>ount</t></r><rPh><t>x</t></rPh></si></sst>",
        ),
        (
            "xl/worksheets/sheet1.xml",
            "<worksheet><sheetData><row><c t='s'><v>0</v></c><c t='s'><v>1</v></c></row>\
             <row><c t='inlineStr'><is><t>M\u{fc}ller</t></is></c><c><f>1+1</f><v>1234.5</v></c><c t='b'><v>1</v></c></row>\
             <row><c t='str'><v>last</v></c><c t='s'><v>99</v></c></row></sheetData></worksheet>",
        ),
        ("xl/worksheets/sheet10.xml", "<worksheet><row><c><v>10</v></c></row></worksheet>"),
        ("xl/worksheets/sheet2.xml", "<worksheet><row><c><v>2</v></c></row></worksheet>"),
        ("xl/comments1.xml", "<comments><text><r><t>why</t></r></text></comments>"),
    ]);
    let expected = "Costs & more\nName\tAmount\nM\u{fc}ller\t1234.5\nlast\n2\n10\nwhy";
    assert_eq!(text(Format::Xlsx, &file), expected);
}

#[test]
fn slides_give_their_text_in_order_then_notes() {
    let slide = |text: &str| format!("<p:sld><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>");
    let file = office(&[
        ("ppt/slides/slide10.xml", &slide("ten")),
        ("ppt/slides/slide2.xml", &slide("two")),
        ("ppt/notesSlides/notesSlide1.xml", &slide("note")),
        ("ppt/slideLayouts/slideLayout1.xml", &slide("no")),
    ]);
    assert_eq!(text(Format::Pptx, &file), "two\nten\nnote");
}

#[test]
fn opendocument_gives_paragraphs_and_cells() {
    let open = |content: &str| {
        zip(&[
            ("mimetype", b"application/vnd.oasis.opendocument.text"),
            ("content.xml", content.as_bytes()),
            (
                "styles.xml",
                b"<o><style:style><text:p>no</text:p></style:style><style:header><text:p>margin</text:p></style:header></o>",
            ),
        ])
    };
    let file = open(
        "<o><text:tracked-changes><text:p>gone</text:p></text:tracked-changes><text:h>Title</text:h>\
         <text:p>a<text:span>b</text:span><text:s text:c='3'/>c<text:tab/>d<text:line-break/>e</text:p></o>",
    );
    let expected = "Title\nab   c\td\ne\nmargin";
    for format in [Format::Odt, Format::Odp, Format::Zip] {
        assert_eq!(text(format, &file), expected);
    }
    let cell = |text: &str| format!("<table:table-cell><text:p>{text}</text:p></table:table-cell>");
    let row = |cells: String| {
        format!("<table:table-row table:number-rows-repeated='1000000'>{cells}</table:table-row>")
    };
    let sheet = format!("<o>{}{}</o>", row(cell("a") + &cell("b")), row(cell("c")));
    assert_eq!(text(Format::Ods, &open(&sheet)), "a\tb\nc\nmargin");
}

#[test]
fn blanks_and_shared_strings_are_bounded() {
    let blanks = |count: &str| {
        let content = format!("<o><text:p>a<text:s text:c='{count}'/>b</text:p></o>");
        text(Format::Odt, &zip(&[("mimetype", b"x"), ("content.xml", content.as_bytes())])).len()
    };
    assert_eq!((blanks("100"), blanks("101"), blanks("18446744073709551616")), (102, 102, 3));
    // A table of strings that is twice as long as the text may be, and one past; none of it is used.
    let workbook = |bytes: usize| {
        let shared = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(bytes - size_of::<usize>()));
        let sheet = "<worksheet><row><c><v>7</v></c></row></worksheet>";
        let file = office(&[("xl/sharedStrings.xml", &shared), ("xl/worksheets/sheet1.xml", sheet)]);
        extract(Format::Xlsx, &file, &Bounds { output_bytes: 100, ..Bounds::default() })
    };
    assert_eq!(workbook(200), Found { text: "7".into(), trouble: None });
    assert_eq!(workbook(201).text, "7");
    assert!(workbook(201).trouble.is_some());
}

#[test]
fn rich_text_gives_its_words() {
    for (rtf, expected) in [
        (r"{\rtf1\ansi Hello\par World}", "Hello\nWorld"),
        (r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\generator Word;}{\info{\title no}}yes}", "yes"),
        (r"{\rtf1\ansi gr\'fcn}", "gr\u{fc}n"),
        (r"{\rtf1\ansi\uc1 \u228?x\u-10179?\u-8704?!}", "\u{e4}x\u{1f600}!"),
        (r"{\rtf1\uc2\u8364 ab{\uc0\u8364 ab}}", "\u{20ac}\u{20ac}ab"),
        (
            r"{\rtf1\ansi{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset204 B;}}\f1\'cf\'f0\f0\'e4}",
            "\u{41f}\u{440}\u{e4}",
        ),
        (r"{\rtf1\ansicpg932 \'93\'fa\'96{\b\'7b}}", "\u{65e5}\u{fffd}{"),
        (r"{\rtf1 a\{b\}\\c\~d\tab e\emdash f}", "a{b}\\c\u{a0}d\te\u{2014}f"),
        (r"{\rtf1 a{\pict\bin5 }}}}}b}c}", "ac"),
        (r"{\rtf1 x{\field{\*\fldinst HYPERLINK}{\fldrslt link}}}", "xlink"),
        ("{\\rtf1 li\r\nne}", "line"),
        (r"{\rtf1\u55357 x}", "\u{fffd}"),
    ] {
        assert_eq!(text(Format::Rtf, rtf.as_bytes()), expected, "{rtf}");
    }
    let deep = |groups: usize| format!("{{\\rtf1 {}x", "{".repeat(groups - 1)).into_bytes();
    assert_eq!(text(Format::Rtf, &deep(10_000)), "x");
    trouble(Format::Rtf, &deep(10_001), &Bounds::default());
}

#[test]
fn archives_give_names_and_texts_of_their_files() {
    let mail = b"From: Ann <ann@example.org>\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nbody words\r\n\
        --b\r\nContent-Type: application/rtf\r\nContent-Disposition: attachment; filename=x.rtf\r\n\r\n{\\rtf1 rich}\r\n--b--\r\n";
    let file = zip(&[
        ("docs/", b""),
        ("docs/a.txt", b"plain words"),
        ("b.csv", b"x;y"),
        ("c.html", b"<p>seen<script>no</script>"),
        ("d.ics", b"SUMMARY:meeting"),
        ("e.vcf", b"FN:Ann"),
        ("f.eml", mail),
        ("g.bin", b"\0\x01"),
        ("h.zip", &zip(&[("i.pdf", &pdf(&["deep inside"]))])),
    ]);
    assert_eq!(
        text(Format::Zip, &file),
        "docs/a.txt\nplain words\nb.csv\nx;y\nc.html\nseen\nd.ics\nSUMMARY:meeting\ne.vcf\nFN:Ann\nf.eml\n\
         From: Ann <ann@example.org>\nSubject: gr\u{fc}n\nbody words\nx.rtf\nrich\ng.bin\nh.zip\ni.pdf\ndeep inside"
    );
}

#[test]
fn one_damaged_file_leaves_the_others() {
    let file = zip(&[("a.pdf", b"no pdf"), ("b.txt", b"words")]);
    let found = trouble(Format::Zip, &file, &Bounds::default());
    assert_eq!(found.text, "a.pdf\nb.txt\nwords");
    assert!(found.trouble.unwrap().starts_with("a.pdf: "));
}

#[test]
fn output_ends_at_its_bound() {
    let bounds = |output_bytes| Bounds { output_bytes, ..Bounds::default() };
    assert_eq!(
        extract(Format::Plain, "a\u{e4}b".as_bytes(), &bounds(4)),
        Found { text: "a\u{e4}b".into(), trouble: None }
    );
    let found = trouble(Format::Plain, "a\u{e4}b".as_bytes(), &bounds(3));
    assert_eq!(found.text, "a\u{e4}");
    assert_eq!(trouble(Format::Plain, "a\u{e4}b".as_bytes(), &bounds(2)).text, "a");
}

#[test]
fn inflated_bytes_are_counted_over_all_files() {
    let file = zip(&[("a.txt", &[b'x'; 600]), ("b.txt", &[b'y'; 400])]);
    let bounds = |inflated_bytes| Bounds { inflated_bytes, ..Bounds::default() };
    assert_eq!(extract(Format::Zip, &file, &bounds(1_000)).trouble, None);
    let found = trouble(Format::Zip, &file, &bounds(999));
    assert_eq!(found.trouble.unwrap(), "it inflates to more than 999 bytes");
    assert!(found.text.contains("xxx"), "what was read before stays");
}

#[test]
fn files_and_depth_are_bounded() {
    let file = zip(&[("a.txt", b"a"), ("b.txt", b"b")]);
    let found = extract(Format::Zip, &file, &Bounds { entries: 2, ..Bounds::default() });
    assert_eq!(found.trouble, None);
    trouble(Format::Zip, &file, &Bounds { entries: 1, ..Bounds::default() });
    let mut nested = b"core".to_vec();
    let mut name = "x.txt";
    for _ in 0..3 {
        nested = zip(&[(name, &nested)]);
        name = "x.zip";
    }
    assert!(extract(Format::Zip, &nested, &Bounds { depth: 3, ..Bounds::default() }).text.contains("core"));
    assert!(!trouble(Format::Zip, &nested, &Bounds { depth: 2, ..Bounds::default() }).text.contains("core"));
    let large = zip(&[("a.txt", &[b'a'; 100])]);
    assert_eq!(extract(Format::Zip, &large, &Bounds { entry_bytes: 100, ..Bounds::default() }).trouble, None);
    trouble(Format::Zip, &large, &Bounds { entry_bytes: 99, ..Bounds::default() });
}

#[test]
fn bombs_end_at_the_bounds() {
    let zeros = vec![b' '; 16 << 20];
    let layer = zip(&[("a.txt", &zeros), ("b.txt", &zeros), ("c.txt", &zeros), ("d.txt", &zeros)]);
    assert!(layer.len() < 200_000);
    let files: Vec<String> = (0..10).map(|n| format!("{n}.zip")).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|name| (name.as_str(), &layer[..])).collect();
    let bomb = zip(&files);
    let bounds = Bounds { inflated_bytes: 64 << 20, output_bytes: usize::MAX >> 1, ..Bounds::default() };
    let found = trouble(Format::Zip, &bomb, &bounds);
    assert!(found.trouble.unwrap().contains("inflates to more than"));
    // A sheet of 100 MB, of a few kilobytes.
    let row = "<row><c t='inlineStr'><is><t>words and more words</t></is></c></row>".repeat(1_500_000);
    let sheet = office(&[("xl/worksheets/sheet1.xml", &format!("<worksheet>{row}</worksheet>"))]);
    assert!(row.len() > 100_000_000 && sheet.len() < 1 << 20);
    assert!(trouble(Format::Xlsx, &sheet, &bounds).trouble.unwrap().contains("inflates"));
    let found = trouble(Format::Xlsx, &sheet, &Bounds::default());
    assert_eq!(found.text.len(), 4 << 20);
}

#[test]
fn entities_laugh_at_nobody() {
    let mut lol = "<!DOCTYPE d [<!ENTITY a0 \"ha\">".to_owned();
    for n in 1..40 {
        lol.push_str(&format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)));
    }
    let file = office(&[("word/document.xml", &format!("{lol}]><w:p><w:t>be&a39;fore</w:t></w:p>"))]);
    assert_eq!(text(Format::Docx, &file), "before");
}

#[test]
fn locked_and_old_files_say_so() {
    let ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 rest";
    assert_eq!(
        trouble(Format::Docx, ole, &Bounds::default()).trouble.unwrap(),
        "it is protected by a password"
    );
    let manifest = b"<m:manifest><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>";
    let locked = zip(&[("META-INF/manifest.xml", manifest), ("content.xml", b"\x01\x02")]);
    assert_eq!(
        trouble(Format::Odt, &locked, &Bounds::default()).trouble.unwrap(),
        "it is protected by a password"
    );
    assert!(trouble(Format::Docx, &zip(&[("a", b"")]), &Bounds::default()).trouble.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_bytes_end_well(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..2_000, at in 0_usize..2_000) {
        let bounds = Bounds { output_bytes: 1_000, inflated_bytes: 100_000, ..Bounds::default() };
        let samples = [
            office(&[("word/document.xml", "<w:p><w:t>x</w:t></w:p>"), ("xl/worksheets/sheet1.xml", "<row><c><v>1</v></c></row>")]),
            pdf(&["x"]),
            br"{\rtf1\ansi\u228?{\*\x y}\'fc}".to_vec(),
        ];
        for mut sample in samples {
            if let Some(byte) = sample.get_mut(at) {
                *byte = bytes.first().copied().unwrap_or(0);
            }
            sample.truncate(cut);
            for format in Format::all() {
                prop_assert!(extract(format, &sample, &bounds).text.len() <= 1_000);
                prop_assert!(extract(format, &bytes, &bounds).text.len() <= 1_000);
            }
        }
    }
}
